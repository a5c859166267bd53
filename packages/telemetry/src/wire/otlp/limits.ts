/** A larger export request is a dead letter. It is what the brokers of ours allow; Kafka's own default is 1 MiB. */
export const OTLP_MESSAGE_BYTES_MAX = 8 * 1024 * 1024;
/**
 * Spans, their events and links, and log records in an export request; one of more is a dead letter. All of them come
 * into memory at once, and an empty one takes two bytes of a message. Real ones take 80: no honest message gets here.
 */
export const OTLP_ITEMS_MAX = 100_000;
/** Attributes of one span, event, link, log record, scope or resource; more are left out and marked. */
export const OTLP_ATTRIBUTES_MAX = 1_000;
/** Events of a span, and links of a span; more are left out and marked. */
export const OTLP_EVENTS_MAX = 1_000;
export const OTLP_LINKS_MAX = 1_000;
/** Arrays and lists of keys nested deeper within an attribute are left out. */
export const OTLP_VALUE_DEPTH_MAX = 64;
export const TOO_DEEP_VALUE = "(nested too deep to keep)";

/** An export request that holds more than {@link OTLP_ITEMS_MAX}. */
export class TooManyItems extends Error {}

/** Counts what a request holds. */
export class ItemBudget {
  #left = OTLP_ITEMS_MAX;

  /** @throws {TooManyItems} */
  take(): void {
    if (this.#left-- <= 0) throw new TooManyItems();
  }
}
