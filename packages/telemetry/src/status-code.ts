/** Span status with the numbers of OpenTelemetry's `Status.StatusCode`; rows hold the number. */
export const STATUS_CODE = { UNSET: 0, OK: 1, ERROR: 2 } as const;

export type StatusCodeName = keyof typeof STATUS_CODE;
export const STATUS_CODE_NAMES = Object.keys(STATUS_CODE) as StatusCodeName[];
