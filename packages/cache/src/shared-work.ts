/** Work that several may wait for. */
interface Flight<T> {
  result: Promise<T>;
  leave: AbortController;
  waiting: number;
}

/** Does the work of a key once for all who ask for it meanwhile. */
export interface SharedWork<T> {
  /**
   * The result of the work of `key`: of what is under way, or of `work`, begun now. It is told to stop when the last
   * who waits for it is gone. Who goes gets their signal's reason.
   */
  join(key: string, signal: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T>;
  /** Whether the work of `key` is under way. */
  has(key: string): boolean;
}

export function createSharedWork<T>(): SharedWork<T> {
  const flights = new Map<string, Flight<T>>();

  return { join, has: (key) => flights.has(key) };

  async function join(
    key: string,
    signal: AbortSignal,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    signal.throwIfAborted();
    const flight = flights.get(key) ?? begin(key, work);
    flight.waiting++;
    const gone = Promise.withResolvers<never>();
    const onGone = () => {
      flight.waiting--;
      if (flight.waiting === 0) {
        // Who comes later must not share the end of it.
        if (flights.get(key) === flight) flights.delete(key);
        flight.leave.abort(signal.reason);
      }
      gone.reject(signal.reason);
    };
    signal.addEventListener("abort", onGone, { once: true });
    try {
      return await Promise.race([flight.result, gone.promise]);
    } finally {
      signal.removeEventListener("abort", onGone);
    }
  }

  function begin(key: string, work: (signal: AbortSignal) => Promise<T>): Flight<T> {
    const leave = new AbortController();
    const flight: Flight<T> = { result: work(leave.signal), leave, waiting: 0 };
    flights.set(key, flight);
    const end = () => {
      if (flights.get(key) === flight) flights.delete(key);
    };
    flight.result.then(end, end);
    return flight;
  }
}
