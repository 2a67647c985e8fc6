# Every deployable is a target: bridge, router, cloud-classifier, gateway, model-registry, rollout-manager,
# drift-monitor, frame-archive, trainer, agent, tools.
#   docker build --target bridge -t tributary/bridge .
# Images have only their program's dependencies, run as user 1000 and write nothing below /app.
# A program reads /etc/tributary/NAME.yaml by default.

# The packages' manifests: later stages install again only when one of these changes.
FROM node:24-bookworm-slim AS manifests
WORKDIR /app
COPY . .
RUN find . -type f ! -name package.json ! -name package-lock.json ! -name .npmrc -delete \
 && find . -type d -empty -delete

FROM node:24-bookworm-slim AS build
WORKDIR /app
COPY --from=manifests /app .
RUN npm ci --no-audit --no-fund
COPY . .
RUN npx tsc -b edge/bridge edge/agent services/router services/cloud-classifier services/gateway services/model-registry services/rollout-manager services/drift-monitor services/frame-archive services/trainer cli \
 && find libs edge services cli \( -name src -o -name tsconfig.json -o -name .tsbuildinfo \
      -o -path '*/dist/*.map' -o -path '*/dist/*.d.ts' \) -prune -exec rm -r {} +

# npm treats a workspace that another needs for its tests as a production dependency: so those lines are removed.
FROM manifests AS production
RUN find . -name package.json -o -name package-lock.json | xargs node -e ' \
      const fs = require("node:fs"); \
      for (const file of process.argv.slice(1)) { \
        const json = JSON.parse(fs.readFileSync(file, "utf8")); \
        const ours = Object.keys(json.packages ?? {}).filter((path) => !path.includes("node_modules")); \
        for (const part of [json, ...ours.map((path) => json.packages[path])]) delete part.devDependencies; \
        fs.writeFileSync(file, JSON.stringify(json)); \
      }'

FROM production AS bridge-modules
RUN npm ci --omit=dev --no-audit --no-fund --workspace @tributary/bridge

FROM production AS router-modules
RUN npm ci --omit=dev --no-audit --no-fund --workspace @tributary/router

FROM production AS gateway-modules
RUN npm ci --omit=dev --no-audit --no-fund --workspace @tributary/gateway

FROM production AS rollout-manager-modules
RUN npm ci --omit=dev --no-audit --no-fund --workspace @tributary/rollout-manager

FROM production AS drift-monitor-modules
RUN npm ci --omit=dev --no-audit --no-fund --workspace @tributary/drift-monitor

FROM production AS frame-archive-modules
RUN npm ci --omit=dev --no-audit --no-fund --workspace @tributary/frame-archive

# ONNX Runtime's package has libraries of every platform.
FROM production AS cloud-classifier-modules
RUN npm ci --omit=dev --no-audit --no-fund --workspace @tributary/cloud-classifier \
 && find node_modules/onnxruntime-node/bin -mindepth 3 -maxdepth 3 ! -path "*/linux/$(node -p process.arch)" -exec rm -r {} +

FROM production AS model-registry-modules
RUN npm ci --omit=dev --no-audit --no-fund --workspace @tributary/model-registry \
 && find node_modules/onnxruntime-node/bin -mindepth 3 -maxdepth 3 ! -path "*/linux/$(node -p process.arch)" -exec rm -r {} +

FROM production AS trainer-modules
RUN npm ci --omit=dev --no-audit --no-fund --workspace @tributary/trainer \
 && find node_modules/onnxruntime-node/bin -mindepth 3 -maxdepth 3 ! -path "*/linux/$(node -p process.arch)" -exec rm -r {} +

FROM production AS agent-modules
RUN npm ci --omit=dev --no-audit --no-fund --workspace @tributary/agent \
 && find node_modules/onnxruntime-node/bin -mindepth 3 -maxdepth 3 ! -path "*/linux/$(node -p process.arch)" -exec rm -r {} +

FROM production AS tools-modules
RUN npm ci --omit=dev --no-audit --no-fund --workspace @tributary/cli \
 && find node_modules/onnxruntime-node/bin -mindepth 3 -maxdepth 3 ! -path "*/linux/$(node -p process.arch)" -exec rm -r {} +

# Node and the C library, no shell, no package manager.
FROM gcr.io/distroless/nodejs24-debian12 AS runtime
# Turns off ONNX Runtime's telemetry. kafkajs sets timeouts in the past, which warn.
ENV ORT_DISABLE_TELEMETRY=1 NODE_ENV=production NODE_OPTIONS=--disable-warning=TimeoutNegativeWarning
WORKDIR /app
USER 1000:1000

# For a separate core for background threads, and so that no model process outlives the agent.
FROM node:24-bookworm-slim AS util-linux
RUN mkdir /state /util-linux && cp -L --parents /usr/bin/taskset /usr/bin/chrt /usr/bin/setpriv /usr/lib/*/libcap-ng.so.0 /util-linux

# MQTT on 1883, health on 8080, metrics on 9464.
FROM runtime AS bridge
COPY --from=bridge-modules /app .
COPY --from=build /app/libs libs
COPY --from=build /app/edge/bridge edge/bridge
EXPOSE 1883 8080 9464
ENTRYPOINT ["/nodejs/bin/node", "edge/bridge/dist/main.js"]
CMD ["--config", "/etc/tributary/bridge.yaml"]

FROM runtime AS router
COPY --from=router-modules /app .
COPY --from=build /app/libs libs
COPY --from=build /app/services/router services/router
COPY --from=util-linux --chown=1000:1000 /state /var/lib/tributary
COPY models/edge-resnet8 models/edge-resnet8
EXPOSE 8080 9464
ENTRYPOINT ["/nodejs/bin/node", "services/router/dist/main.js"]
CMD ["--config", "/etc/tributary/router.yaml"]

FROM runtime AS cloud-classifier
COPY --from=cloud-classifier-modules /app .
COPY --from=build /app/libs libs
COPY --from=build /app/services/cloud-classifier services/cloud-classifier
COPY --from=util-linux --chown=1000:1000 /state /var/lib/tributary
COPY models/cloud-vgg models/cloud-vgg
EXPOSE 8080 9464
ENTRYPOINT ["/nodejs/bin/node", "services/cloud-classifier/dist/main.js"]
CMD ["--config", "/etc/tributary/cloud-classifier.yaml"]

FROM runtime AS gateway
COPY --from=gateway-modules /app .
COPY --from=build /app/libs libs
COPY --from=build /app/services/gateway services/gateway
EXPOSE 8080 9464
ENTRYPOINT ["/nodejs/bin/node", "services/gateway/dist/main.js"]
CMD ["--config", "/etc/tributary/gateway.yaml"]

FROM runtime AS rollout-manager
COPY --from=rollout-manager-modules /app .
COPY --from=build /app/libs libs
COPY --from=build /app/services/rollout-manager services/rollout-manager
EXPOSE 8086 9464
ENTRYPOINT ["/nodejs/bin/node", "services/rollout-manager/dist/main.js"]
CMD ["--config", "/etc/tributary/rollout-manager.yaml"]

FROM runtime AS drift-monitor
COPY --from=drift-monitor-modules /app .
COPY --from=build /app/libs libs
COPY --from=build /app/services/drift-monitor services/drift-monitor
COPY models/edge-resnet8 models/edge-resnet8
EXPOSE 8087 9464
ENTRYPOINT ["/nodejs/bin/node", "services/drift-monitor/dist/main.js"]
CMD ["--config", "/etc/tributary/drift-monitor.yaml"]

# Validates and evaluates packages, so it runs models. Its data is below /var/lib/tributary: mount a persistent volume.
FROM runtime AS model-registry
COPY --from=util-linux /util-linux /
COPY --from=util-linux --chown=1000:1000 /state /var/lib/tributary
COPY --from=model-registry-modules /app .
COPY --from=build /app/libs libs
COPY --from=build /app/services/model-registry services/model-registry
EXPOSE 8085 9464
ENTRYPOINT ["/nodejs/bin/node", "services/model-registry/dist/main.js"]
CMD ["--config", "/etc/tributary/model-registry.yaml"]

# Its pictures are below /var/lib/tributary: mount a persistent volume.
FROM runtime AS frame-archive
COPY --from=util-linux --chown=1000:1000 /state /var/lib/tributary
COPY --from=frame-archive-modules /app .
COPY --from=build /app/libs libs
COPY --from=build /app/services/frame-archive services/frame-archive
EXPOSE 8088 9464
ENTRYPOINT ["/nodejs/bin/node", "services/frame-archive/dist/main.js"]
CMD ["--config", "/etc/tributary/frame-archive.yaml"]

# Trains and packs models, so it runs them. Its datasets and results are below /var/lib/tributary: mount a persistent volume.
FROM runtime AS trainer
COPY --from=util-linux /util-linux /
COPY --from=util-linux --chown=1000:1000 /state /var/lib/tributary
COPY --from=trainer-modules /app .
COPY --from=build /app/libs libs
COPY --from=build /app/services/trainer services/trainer
COPY models/cloud-vgg models/cloud-vgg
EXPOSE 8089 9464
ENTRYPOINT ["/nodejs/bin/node", "services/trainer/dist/main.js"]
CMD ["--config", "/etc/tributary/trainer.yaml"]

# Its outbox is below /var/lib/tributary: mount a persistent volume there, owned by user 1000.
FROM runtime AS agent
COPY --from=util-linux /util-linux /
COPY --from=agent-modules /app .
COPY --from=build /app/libs libs
COPY --from=build /app/edge/agent edge/agent
COPY models/edge-resnet8 models/edge-resnet8
EXPOSE 8080
ENTRYPOINT ["/nodejs/bin/node", "edge/agent/dist/main.js"]
CMD ["--config", "/etc/tributary/agent.yaml"]

# `tributary`, e.g. `tools topics create --brokers kafka:9092`.
FROM runtime AS tools
COPY --from=util-linux --chown=1000:1000 /state /var/lib/tributary
COPY --from=util-linux --chown=1000:1000 /state /root-keys
COPY --from=tools-modules /app .
COPY --from=build /app/libs libs
COPY --from=build /app/cli cli
ENTRYPOINT ["/nodejs/bin/node", "cli/dist/main.js"]
CMD ["--help"]
