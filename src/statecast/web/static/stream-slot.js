// The right to hold an event stream. Over HTTP/1.1 a browser opens six connections to a server, for
// all of its pages together. Three pages hold a stream, so that requests of every page get through;
// the others ask again and again.

const STREAMS = 3;

export const isHidden = () => globalThis.document?.hidden ?? false;

export class StreamSlot {
  /** Gives the slot back. @type {(() => void) | undefined} */
  #free;
  #isClosed = false;

  /** Take a slot if there is one. A hidden page leaves it to the others. */
  async acquire() {
    if (isHidden()) {
      this.release();
      return false;
    }
    if (this.#free) return true;
    const locks = globalThis.navigator?.locks;
    // Only pages that came by HTTPS or from this machine have locks. Elsewhere each visible page
    // has a stream: these are few.
    if (!locks) return true;
    for (let place = 0; place < STREAMS; place++) {
      if (await this.#take(locks, `statecast-stream-${place}`)) return true;
    }
    return false;
  }

  release() {
    this.#free?.();
    this.#free = undefined;
  }

  /** Release the slot, also one that is being taken. */
  close() {
    this.#isClosed = true;
    this.release();
  }

  /**
   * A lock lasts until its promise is resolved, or its page is gone.
   * @param {LockManager} locks
   * @param {string} name
   * @returns {Promise<boolean>}
   */
  #take(locks, name) {
    return new Promise((taken) => {
      const hold = (/** @type {Lock | null} */ lock) => {
        if (!lock || this.#isClosed) {
          taken(false);
          return undefined;
        }
        return new Promise((/** @type {(value?: unknown) => void} */ free) => {
          this.release();
          this.#free = () => free();
          taken(true);
        });
      };
      locks.request(name, { ifAvailable: true }, hold).catch(() => taken(true));
    });
  }
}
