/** Span kinds with the numbers of OpenTelemetry's `Span.SpanKind`; rows hold the number, words live at the edges. */
export const SPAN_KIND = { INTERNAL: 1, SERVER: 2, CLIENT: 3, PRODUCER: 4, CONSUMER: 5 } as const;

export type SpanKindName = keyof typeof SPAN_KIND;
export const SPAN_KIND_NAMES = Object.keys(SPAN_KIND) as SpanKindName[];
