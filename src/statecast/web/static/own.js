// Names of devices and fields are data: they must not reach a prototype.

/**
 * A property of an object itself. Device and field names are data: `constructor` or `__proto__`
 * must not reach a prototype.
 * @param {any} object
 * @param {string} name
 * @returns {any}
 */
export function getOwn(object, name) {
  return object && Object.hasOwn(object, name) ? object[name] : undefined;
}
