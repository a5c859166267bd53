import { advance, type EventPlace, isAfter } from "./event-position.ts";

/** The ids of the events that came, so that one which Kafka delivers twice is sent once. */
export class SeenIds {
  readonly #max: number;
  readonly #ids = new Set<string>();
  /**
   * The same ids, in a circle, beside the places that they name. A set knows its oldest too, but to find it, it walks
   * over all that were deleted before.
   */
  readonly #circle: { id: string; place: EventPlace | undefined }[] = [];
  /** Index in `#circle` of the oldest, once it is full. */
  #oldest = 0;
  /** For each source, up to where every id was seen and some are no longer remembered. */
  readonly #forgotten = new Map<number, EventPlace>();

  /** @param max how many are remembered one by one; of those before, only how far each source was */
  constructor(max: number) {
    this.#max = max;
  }

  /** Notes an id. @returns false where it was noted before */
  add(id: string, place: EventPlace | undefined): boolean {
    if (this.#ids.has(id) || (place !== undefined && !isAfter(place, this.#forgotten))) return false;
    this.#ids.add(id);
    const oldest = this.#circle[this.#oldest];
    if (this.#circle.length < this.#max || oldest === undefined) {
      this.#circle.push({ id, place });
      return true;
    }
    this.#ids.delete(oldest.id);
    // The events of a source come in order: who is not after this one was seen.
    if (oldest.place !== undefined) advance(this.#forgotten, oldest.place);
    this.#circle[this.#oldest] = { id, place };
    this.#oldest = (this.#oldest + 1) % this.#max;
    return true;
  }
}
