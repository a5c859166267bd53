/** Log levels of the contract with OpenTelemetry's severity numbers: the first of each range of four. */
export const SEVERITY_NUMBER = { DEBUG: 5, INFO: 9, WARN: 13, ERROR: 17 } as const;

export type LogLevel = keyof typeof SEVERITY_NUMBER;
export const LOG_LEVELS = Object.keys(SEVERITY_NUMBER) as LogLevel[];
