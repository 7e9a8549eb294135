// Times and ages for people, in the languages of the browser.

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

// Intl objects are expensive to make, so each is made once.

/** @param {Intl.DateTimeFormatOptions} options */
function timeFormat(options) {
  return new Intl.DateTimeFormat([], {
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
    ...options,
  });
}

const TIME_OF_TODAY = timeFormat({ second: "2-digit" });
const TIME_OF_OTHER_DAY = timeFormat({ day: "numeric", month: "short" });
/** @type {Intl.DateTimeFormatOptions} */
const WITH_DATE = { second: "2-digit", day: "numeric", month: "short", year: "numeric" };
const MOMENT = timeFormat(WITH_DATE);
const EXACT_MOMENT = timeFormat({ ...WITH_DATE, fractionalSecondDigits: 3 });
const RELATIVE_TIME = new Intl.RelativeTimeFormat([], { style: "narrow" });

const TIME = /^\d{4}-[01]\d-[0-3]\dT[012]\d:[0-5]\d:[0-5]\d(?:\.\d{1,9})?(?:Z|[+-][01]\d:[0-5]\d)$/;

/**
 * The time that a text is, if all of it is one with a date and a time zone.
 * @param {string} text
 */
export function timeOf(text) {
  if (!TIME.test(text)) return undefined;
  const at = Date.parse(text);
  // Browsers take a 31st of February for the 3rd of March.
  const date = text.slice(0, 10);
  const day = new Date(date);
  const isDate = !Number.isNaN(at) && !Number.isNaN(+day) && day.toISOString().startsWith(date);
  return isDate ? at : undefined;
}

/**
 * A time with its date, exact to the millisecond.
 * @param {number} at
 */
export function formatMoment(at) {
  return (at % SECOND ? EXACT_MOMENT : MOMENT).format(at);
}

/**
 * The largest unit that a duration fills at least twice: "90 s" says more than "1 min".
 * @param {number} ms
 * @returns {{ count: number, unit: Intl.RelativeTimeFormatUnit, symbol: string }}
 */
function largestUnit(ms) {
  const length = Math.max(0, ms);
  if (length < 2 * MINUTE)
    return { count: Math.trunc(length / SECOND), unit: "second", symbol: "s" };
  if (length < 2 * HOUR)
    return { count: Math.trunc(length / MINUTE), unit: "minute", symbol: "min" };
  if (length < 2 * DAY) return { count: Math.trunc(length / HOUR), unit: "hour", symbol: "h" };
  return { count: Math.trunc(length / DAY), unit: "day", symbol: "d" };
}

/**
 * "48 s", "14 min".
 * @param {number} ms
 */
export function formatDuration(ms) {
  const { count, symbol } = largestUnit(ms);
  return `${count} ${symbol}`;
}

/**
 * The time of day, with the date if it is not the day of `now`.
 * @param {number} at
 * @param {number} now
 */
export function formatClock(at, now) {
  const isToday = new Date(at).toDateString() === new Date(now).toDateString();
  return (isToday ? TIME_OF_TODAY : TIME_OF_OTHER_DAY).format(at);
}

/**
 * "3s ago", never in the future; after 30 days the date.
 * @param {number} at
 * @param {number} now
 */
export function formatAge(at, now) {
  const age = now - at;
  if (age < 2 * SECOND) return "just now";
  if (age > 30 * DAY) return formatClock(at, now);
  const { count, unit } = largestUnit(age);
  return RELATIVE_TIME.format(-count, unit);
}

const LATE_AFTER = 60_000;

/**
 * Whether something arrived so long after it happened that people should know.
 * @param {number} at
 * @param {number} [arrived]
 */
export function isLate(at, arrived = at) {
  return arrived - at > LATE_AFTER;
}
