const METRICS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** Health, readiness and metrics of this process, as a plain fetch handler. */
export function createHttpHandler(
  notReady: () => string[],
  /** Prometheus text. */
  metrics: () => Promise<string>,
): (request: Request) => Promise<Response> {
  return async (request) => {
    const { pathname } = new URL(request.url);
    if (request.method !== "GET") return Response.json({ status: "method not allowed" }, { status: 405 });
    switch (pathname) {
      case "/health":
        return Response.json({ status: "ok" });
      case "/ready": {
        const reasons = notReady();
        const ready = reasons.length === 0;
        return Response.json(
          { status: ready ? "ready" : "not ready", reasons },
          { status: ready ? 200 : 503 },
        );
      }
      case "/metrics":
        return new Response(await metrics(), { headers: { "content-type": METRICS_CONTENT_TYPE } });
      default:
        return Response.json({ status: "not found" }, { status: 404 });
    }
  };
}
