/**
 * Log levels of the contract with OpenTelemetry's severity numbers: the first of each range of four. TRACE (1 to 4)
 * counts as DEBUG and FATAL (21 to 24) as ERROR.
 */
export const SEVERITY_NUMBER = { DEBUG: 5, INFO: 9, WARN: 13, ERROR: 17 } as const;

export type LogLevel = keyof typeof SEVERITY_NUMBER;
export const LOG_LEVELS = Object.keys(SEVERITY_NUMBER) as LogLevel[];

/** The severity numbers of a level, both ends included. */
export const SEVERITY_RANGE: Readonly<Record<LogLevel, { min: number; max: number }>> = {
  DEBUG: { min: 1, max: SEVERITY_NUMBER.INFO - 1 },
  INFO: { min: SEVERITY_NUMBER.INFO, max: SEVERITY_NUMBER.WARN - 1 },
  WARN: { min: SEVERITY_NUMBER.WARN, max: SEVERITY_NUMBER.ERROR - 1 },
  ERROR: { min: SEVERITY_NUMBER.ERROR, max: 24 },
};
