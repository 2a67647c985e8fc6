# Every deployable is a target: bridge, router, cloud-classifier, gateway, model-registry, rollout-manager,
# drift-monitor, frame-archive, trainer, agent, tools.
#   docker build --target bridge -t tributary/bridge .
# Images share their layers but the last: one set of packages for programs that run no model, and one for those that do. They run as
# user 1000 and write nothing below /app. A program reads /etc/tributary/NAME.yaml by default. Node's flags in an ENTRYPOINT keep V8's
# compilers from blocking its exit (ADR 10).

# The packages' manifests: later stages install again only when one of these changes.
FROM node:24-bookworm-slim AS context
WORKDIR /app
COPY . .
RUN find . -type f ! -name package.json ! -name package-lock.json ! -name .npmrc ! -path ./tools/images/modules.mjs -delete \
 && find . -type d -empty -delete

FROM node:24-bookworm-slim AS manifests
WORKDIR /app
COPY --from=context /app .

FROM manifests AS build
RUN node tools/images/modules.mjs compile
COPY . .
RUN npx tsc -b edge/bridge edge/agent services/router services/cloud-classifier services/gateway services/model-registry services/rollout-manager services/drift-monitor services/frame-archive services/trainer cli \
 && find libs edge services cli \( -name src -o -name tsconfig.json -o -name .tsbuildinfo \
      -o -path '*/dist/*.map' -o -path '*/dist/*.d.ts' \) -prune -exec rm -r {} +

# What these programs read of the installed packages.
FROM build AS service-packages
RUN node tools/images/modules.mjs keep /kept edge/bridge services/router services/gateway services/rollout-manager \
      services/drift-monitor services/frame-archive

FROM build AS model-packages
RUN node tools/images/modules.mjs keep /kept services/cloud-classifier services/model-registry services/trainer cli

FROM build AS agent-packages
RUN node tools/images/modules.mjs keep /kept edge/agent

# Node without its symbols (18 MB less); programs for a separate core for background threads, and so that no model process outlives
# the agent; the libraries that these, ONNX Runtime and sharp are linked with, and what scanners and lawyers ask of the libraries.
FROM node:24-bookworm-slim AS native
RUN command -v strip || { apt-get update && apt-get install -y --no-install-recommends binutils; }
RUN programs="/usr/bin/taskset /usr/bin/chrt /usr/bin/prlimit /usr/bin/setpriv" \
 && mkdir -p /state /native/nodejs/bin /native/var/lib/dpkg/status.d && strip -o /native/nodejs/bin/node /usr/local/bin/node \
 && cp -L --parents $programs $(ldd /usr/local/bin/node $programs | grep -o '[[:space:]]/[^ ]*' | sort -u) /lib/*/librt.so.1 \
      /lib/*/libresolv.so.2 /native \
 && for package in libc6 libgcc-s1 libstdc++6 libcap-ng0 libsmartcols1 util-linux; do \
      cp -L --parents /usr/share/doc/$package/copyright /native \
      && dpkg-query --status $package > /native/var/lib/dpkg/status.d/$package || exit 1; done

# Certificates, time zones and users: no shell, no package manager.
FROM gcr.io/distroless/static-debian12 AS runtime
COPY --from=native /native /
# Turns off ONNX Runtime's telemetry. kafkajs sets timeouts in the past, which warn.
ENV ORT_DISABLE_TELEMETRY=1 NODE_ENV=production NODE_OPTIONS=--disable-warning=TimeoutNegativeWarning
WORKDIR /app
USER 1000:1000

FROM runtime AS service
COPY --from=native --chown=1000:1000 /state /var/lib/tributary
COPY --from=service-packages /kept .
COPY --from=build /app/libs libs

FROM runtime AS model-service
COPY --from=native --chown=1000:1000 /state /var/lib/tributary
COPY --from=model-packages /kept .
COPY --from=build /app/libs libs

# MQTT on 1883, health on 8080, metrics on 9464.
FROM service AS bridge
COPY --from=build /app/edge/bridge edge/bridge
EXPOSE 1883 8080 9464
ENTRYPOINT ["/nodejs/bin/node", "--no-concurrent-sparkplug", "--no-maglev-build-code-on-background", "--no-maglev-deopt-data-on-background", "edge/bridge/dist/main.js"]
CMD ["--config", "/etc/tributary/bridge.yaml"]

FROM service AS router
COPY --from=build /app/services/router services/router
COPY models/edge-resnet8 models/edge-resnet8
EXPOSE 8080 9464
ENTRYPOINT ["/nodejs/bin/node", "--no-concurrent-sparkplug", "--no-maglev-build-code-on-background", "--no-maglev-deopt-data-on-background", "services/router/dist/main.js"]
CMD ["--config", "/etc/tributary/router.yaml"]

FROM model-service AS cloud-classifier
COPY --from=build /app/services/cloud-classifier services/cloud-classifier
COPY models/cloud-vgg models/cloud-vgg
EXPOSE 8080 9464
ENTRYPOINT ["/nodejs/bin/node", "--no-concurrent-sparkplug", "--no-maglev-build-code-on-background", "--no-maglev-deopt-data-on-background", "services/cloud-classifier/dist/main.js"]
CMD ["--config", "/etc/tributary/cloud-classifier.yaml"]

FROM service AS gateway
COPY --from=build /app/services/gateway services/gateway
EXPOSE 8080 9464
ENTRYPOINT ["/nodejs/bin/node", "--no-concurrent-sparkplug", "--no-maglev-build-code-on-background", "--no-maglev-deopt-data-on-background", "services/gateway/dist/main.js"]
CMD ["--config", "/etc/tributary/gateway.yaml"]

FROM service AS rollout-manager
COPY --from=build /app/services/rollout-manager services/rollout-manager
EXPOSE 8086 9464
ENTRYPOINT ["/nodejs/bin/node", "--no-concurrent-sparkplug", "--no-maglev-build-code-on-background", "--no-maglev-deopt-data-on-background", "services/rollout-manager/dist/main.js"]
CMD ["--config", "/etc/tributary/rollout-manager.yaml"]

FROM service AS drift-monitor
COPY --from=build /app/services/drift-monitor services/drift-monitor
COPY models/edge-resnet8 models/edge-resnet8
EXPOSE 8087 9464
ENTRYPOINT ["/nodejs/bin/node", "--no-concurrent-sparkplug", "--no-maglev-build-code-on-background", "--no-maglev-deopt-data-on-background", "services/drift-monitor/dist/main.js"]
CMD ["--config", "/etc/tributary/drift-monitor.yaml"]

# Validates and evaluates packages, so it runs models. Its data is below /var/lib/tributary: mount a persistent volume.
FROM model-service AS model-registry
COPY --from=build /app/services/model-registry services/model-registry
EXPOSE 8085 9464
ENTRYPOINT ["/nodejs/bin/node", "--no-concurrent-sparkplug", "--no-maglev-build-code-on-background", "--no-maglev-deopt-data-on-background", "services/model-registry/dist/main.js"]
CMD ["--config", "/etc/tributary/model-registry.yaml"]

# Its pictures are below /var/lib/tributary: mount a persistent volume.
FROM service AS frame-archive
COPY --from=build /app/services/frame-archive services/frame-archive
EXPOSE 8088 9464
ENTRYPOINT ["/nodejs/bin/node", "--no-concurrent-sparkplug", "--no-maglev-build-code-on-background", "--no-maglev-deopt-data-on-background", "services/frame-archive/dist/main.js"]
CMD ["--config", "/etc/tributary/frame-archive.yaml"]

# Trains and packs models, so it runs them. Its datasets and results are below /var/lib/tributary: mount a persistent volume.
FROM model-service AS trainer
COPY --from=build /app/services/trainer services/trainer
COPY models/cloud-vgg models/cloud-vgg
EXPOSE 8089 9464
ENTRYPOINT ["/nodejs/bin/node", "--no-concurrent-sparkplug", "--no-maglev-build-code-on-background", "--no-maglev-deopt-data-on-background", "services/trainer/dist/main.js"]
CMD ["--config", "/etc/tributary/trainer.yaml"]

# Its outbox is below /var/lib/tributary: mount a persistent volume there, owned by user 1000.
FROM runtime AS agent
COPY --from=agent-packages /kept .
COPY --from=build /app/libs libs
COPY --from=build /app/edge/agent edge/agent
COPY models/edge-resnet8 models/edge-resnet8
EXPOSE 8080
ENTRYPOINT ["/nodejs/bin/node", "--no-concurrent-sparkplug", "--no-maglev-build-code-on-background", "--no-maglev-deopt-data-on-background", "edge/agent/dist/main.js"]
CMD ["--config", "/etc/tributary/agent.yaml"]

# `tributary`, e.g. `tools topics create --brokers kafka:9092`.
FROM model-service AS tools
COPY --from=native --chown=1000:1000 /state /root-keys
COPY --from=build /app/cli cli
ENTRYPOINT ["/nodejs/bin/node", "--no-concurrent-sparkplug", "--no-maglev-build-code-on-background", "--no-maglev-deopt-data-on-background", "cli/dist/main.js"]
CMD ["--help"]
