# syntax=docker/dockerfile:1

# Stage 1: production dependencies only. Nothing is compiled: isolated-vm, classic-level and esbuild bring prebuilt
# binaries for glibc on x64 and arm64, and no dependency needs its install script.
FROM node:24-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund

# Stage 2: the gateway, which runs from its TypeScript source as it is.
FROM node:24-slim
ENV NODE_ENV=production \
    SLUICE_CONFIG=/etc/sluice/sluice.yaml
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json LICENSE ./
COPY bin ./bin
COPY src ./src
COPY config/container.yaml /etc/sluice/sluice.yaml
COPY handlers /etc/sluice/handlers
RUN ln -s /app/bin/sluice.js /usr/local/bin/sluice \
 && mkdir -p /var/lib/sluice \
 && chown node:node /var/lib/sluice
USER node

# Everything durable lies here. Without a volume it goes with the container.
VOLUME ["/var/lib/sluice"]

# The longest drain at SIGTERM is 10 s (Docker's own patience): see `docker stop --time`.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 CMD ["node", "/app/bin/sluice.js", "health"]
ENTRYPOINT ["node", "/app/bin/sluice.js"]
CMD ["run"]
