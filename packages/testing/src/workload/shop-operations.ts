/**
 * What the shop's services do. An operation runs its steps one after another; `{names}` in routes and messages
 * become numbers that stay the same within a trace. All `…Ms` are medians of the time spent in the thing itself.
 */

export interface Operation {
  service: string;
  name: string;
  kind: "SERVER" | "CONSUMER" | "INTERNAL";
  selfMs: number;
  steps: readonly Step[];
  http?: { method: string; route: string };
  /** Message of the INFO log that a success writes. */
  info?: string;
  /** A refusal that is nobody's fault: a 4xx answer and a WARN log, for this share (0..1) of the requests. */
  rejection?: { share: number; httpStatusCode: number; message: string };
}

export interface Dependency {
  type: "dependency";
  name: string;
  peerService: string;
  medianMs: number;
  timeoutMs: number;
  /** How often a failed attempt is made again. */
  retries: number;
  dbSystem?: string;
  http?: { method: string; route: string };
}

export type Step =
  | Dependency
  | { type: "call"; operation: Operation }
  | { type: "internal"; name: string; medianMs: number }
  | { type: "publish"; topic: string; consumers: readonly Operation[] }
  | { type: "parallel"; steps: readonly Step[] }
  /** Taken by this share (0..1) of the requests: a cache miss. */
  | { type: "sometimes"; share: number; step: Step }
  /** Its failure degrades the answer (a WARN log) instead of failing it. */
  | { type: "optional"; step: Step };

const call = (operation: Operation): Step => ({ type: "call", operation });
const internal = (name: string, medianMs: number): Step => ({ type: "internal", name, medianMs });
const parallel = (...steps: Step[]): Step => ({ type: "parallel", steps });
const sometimes = (share: number, step: Step): Step => ({ type: "sometimes", share, step });
const optional = (step: Step): Step => ({ type: "optional", step });
const publish = (topic: string, ...consumers: Operation[]): Step => ({ type: "publish", topic, consumers });
const database = (dbSystem: string, timeoutMs: number) => (name: string, medianMs: number) =>
  ({ type: "dependency", name, peerService: dbSystem, dbSystem, medianMs, timeoutMs, retries: 0 }) as const;
const postgresql = database("postgresql", 2_000);
const redis = database("redis", 250);
const opensearch = database("opensearch", 1_500);
const external = (host: string, method: string, route: string, medianMs: number, retries = 0): Step => ({
  type: "dependency",
  name: `${method} ${route}`,
  peerService: host,
  medianMs,
  timeoutMs: 3_000,
  retries,
  http: { method, route },
});

type Extras = Pick<Operation, "info" | "rejection">;
const server = (
  service: string,
  name: `${string} ${string}`,
  selfMs: number,
  steps: Step[],
  extras?: Extras,
) => {
  const [method = "", route = ""] = name.split(" ");
  return { service, name, kind: "SERVER", selfMs, steps, http: { method, route }, ...extras } as const;
};
const consumer = (
  service: string,
  topic: string,
  selfMs: number,
  steps: Step[],
  info: string,
): Operation => ({
  service,
  name: `process ${topic}`,
  kind: "CONSUMER",
  selfMs,
  steps,
  info,
});

const verifySession = server("auth", "GET /sessions/{sessionId}", 1.5, [
  redis("GET session", 0.7),
  sometimes(0.1, postgresql("SELECT users", 3)),
]);
const login = server(
  "auth",
  "POST /sessions",
  3,
  [postgresql("SELECT users", 3), internal("verify password", 55), redis("SET session", 0.8)],
  {
    info: "user {userId} signed in",
    rejection: {
      share: 0.04,
      httpStatusCode: 401,
      message: "sign-in of user {userId} refused: wrong password",
    },
  },
);
const readProduct = server("catalog", "GET /products/{productId}", 2, [
  redis("GET product", 0.6),
  sometimes(0.25, postgresql("SELECT products", 5)),
]);
const listFeatured = server("catalog", "GET /featured", 3, [
  redis("GET featured", 0.8),
  sometimes(0.1, postgresql("SELECT products", 22)),
]);
const readStock = server("inventory", "GET /stock/{productId}", 1.5, [postgresql("SELECT stock_levels", 5)]);
const reserveStock = server(
  "inventory",
  "POST /reservations",
  3,
  [postgresql("SELECT stock_levels", 6), postgresql("UPDATE stock_levels", 7)],
  {
    info: "reserved product {productId} for order {orderId}",
    rejection: { share: 0.01, httpStatusCode: 409, message: "product {productId} is out of stock" },
  },
);
const searchProducts = server(
  "search",
  "GET /search",
  4,
  [internal("parse query", 1), opensearch("search products", 24), internal("rank results", 6)],
  { info: "query {queryId} matched {hitCount} products" },
);
const suggest = server("search", "GET /suggestions", 1.5, [opensearch("search suggestions", 6)]);
const readCart = server("cart", "GET /carts/{cartId}", 1.5, [redis("HGETALL cart", 0.9)]);
const addItem = server("cart", "POST /carts/{cartId}/items", 2, [call(readStock), redis("HSET cart", 0.9)], {
  info: "added product {productId} to cart {cartId}",
});
const quoteShipping = server("shipping", "POST /quotes", 2, [
  internal("pack parcels", 3),
  external("rates.parcelo.example", "GET", "/v2/rates", 45),
]);
const sendOrderMail = consumer(
  "notification",
  "order-placed",
  2,
  [internal("render order-confirmation", 7), external("mail.postbox.example", "POST", "/v3/messages", 70, 1)],
  "sent order-confirmation to user {userId} for order {orderId}",
);
const sendShipmentMail = consumer(
  "notification",
  "shipment-created",
  2,
  [internal("render shipment-notice", 6), external("mail.postbox.example", "POST", "/v3/messages", 70, 1)],
  "sent shipment-notice to user {userId} for order {orderId}",
);
const createShipment = consumer(
  "shipping",
  "order-placed",
  3,
  [
    postgresql("INSERT shipments", 5),
    external("labels.parcelo.example", "POST", "/v2/labels", 130, 1),
    publish("shipment-created", sendShipmentMail),
  ],
  "shipment {shipmentId} created for order {orderId}",
);
const chargeCard = server(
  "payment",
  "POST /charges",
  3,
  [
    postgresql("INSERT charges", 4),
    external("api.paywell.example", "POST", "/v1/charges", 160, 1),
    postgresql("UPDATE charges", 4),
  ],
  {
    info: "charged {amount} cents for order {orderId}",
    rejection: { share: 0.02, httpStatusCode: 402, message: "card declined for order {orderId}" },
  },
);
const placeOrder = server(
  "checkout",
  "POST /orders",
  6,
  [
    call(readCart),
    parallel(call(reserveStock), call(quoteShipping)),
    call(chargeCard),
    postgresql("INSERT orders", 6),
    publish("order-placed", createShipment, sendOrderMail),
  ],
  { info: "order {orderId} placed by user {userId}: {amount} cents" },
);
const reconcileStock: Operation = {
  service: "inventory",
  name: "reconcile stock",
  kind: "INTERNAL",
  selfMs: 30,
  steps: [
    external("warehouse.depot.example", "GET", "/v1/stock", 220),
    postgresql("SELECT stock_levels", 9),
    postgresql("UPDATE stock_levels", 12),
  ],
  info: "stock reconciled: {adjustmentCount} levels adjusted",
};

/** Where traces begin, with the relative frequency of each. */
export const ENTRY_POINTS: readonly { weight: number; operation: Operation }[] = [
  {
    weight: 30,
    operation: server("storefront", "GET /products/{productId}", 5, [
      parallel(call(readProduct), optional(call(readStock))),
      sometimes(0.4, call(verifySession)),
    ]),
  },
  {
    weight: 22,
    operation: server("storefront", "GET /search", 5, [
      call(searchProducts),
      sometimes(0.5, optional(call(readProduct))),
    ]),
  },
  {
    weight: 17,
    operation: server("storefront", "GET /", 7, [
      parallel(call(listFeatured), optional(call(suggest)), sometimes(0.4, call(verifySession))),
    ]),
  },
  {
    weight: 11,
    operation: server("storefront", "POST /cart/items", 3, [call(verifySession), call(addItem)]),
  },
  {
    weight: 8,
    operation: server("storefront", "GET /cart", 4, [
      call(verifySession),
      call(readCart),
      parallel(call(readProduct), optional(call(quoteShipping))),
    ]),
  },
  {
    weight: 7,
    operation: server("storefront", "POST /checkout", 5, [call(verifySession), call(placeOrder)]),
  },
  { weight: 4, operation: server("storefront", "POST /login", 3, [call(login)]) },
  { weight: 1, operation: reconcileStock },
];
