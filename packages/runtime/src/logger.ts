import pino, { type Logger } from "pino";

export type { Logger };

/**
 * JSON lines on standard output, written synchronously: the last line before a crash is the one that matters.
 * Field names follow OpenTelemetry's log record (`severity_text`, `body`), so our own logs can be ingested.
 */
export function createLogger(serviceName: string, level = "info"): Logger {
  return pino(
    {
      level,
      messageKey: "body",
      base: { service_name: serviceName },
      timestamp: () => `,"timestamp":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ severity_text: label.toUpperCase() }) },
      serializers: { err: pino.stdSerializers.err },
      errorKey: "err",
    },
    pino.destination({ dest: 1, sync: true }),
  );
}
