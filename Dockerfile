# One image for every process of Timespan; which one a container runs is its command, such as `query-api.js`.
FROM oven/bun:1.4.5-slim AS bun
WORKDIR /app

FROM bun AS build
COPY . .
# Optional packages are the PostgreSQL that `bun run up` embeds: an image has no use for it.
RUN bun install --frozen-lockfile --production --omit=optional --ignore-scripts
RUN bun run build

FROM bun
LABEL org.opencontainers.image.title="Timespan" \
      org.opencontainers.image.description="An APM you query with SQL" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV NODE_ENV=production
COPY --from=build /app/dist/ ./
USER bun
# query-api, stream-processor, error-stream
EXPOSE 3001 3002 3010
# Bun is process 1 and the apps handle SIGTERM, so nothing stands between them and the engine.
ENTRYPOINT ["bun", "--no-install"]
