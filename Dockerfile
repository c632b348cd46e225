# Two images. The default, `docker build -t aqevia-engine:dev .`, is for development: toolchain, sources and binary
# together. `docker build --target runtime -t aqevia-engine:runtime .` holds the binary, VERSION and the user alone. Both
# run as 999:999, the owner of every volume so far; as numbers, so that it can be seen from outside that this is not root.

# The same as in the file VERSION, which a label cannot read; if they differ, the build stops and says so.
ARG VERSION=0.3.0

FROM rust:1.92.0-slim-trixie AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/*
# rustup's minimal profile, of which the official image is, lacks these two.
RUN { cargo fmt --version && cargo clippy --version; } || rustup component add rustfmt clippy
# Cargo writes its downloads to CARGO_HOME, so that directory must be open to the user that builds.
RUN groupadd -r aqevia \
 && useradd --no-log-init -r -g aqevia aqevia \
 && [ "$(id -u aqevia):$(id -g aqevia)" = 999:999 ] \
 && mkdir /app /data \
 && chown aqevia:aqevia /app /data \
 && chmod a+w "$CARGO_HOME"
WORKDIR /app
# Build scripts are foreign code: they run without root, and the same user can build again later in a container.
USER aqevia

# The dependencies (SQLite above all) in a layer of their own, for clippy's profile and for release. It stays good until
# Cargo.toml, Cargo.lock or SQLite's flags change. Empty sources stand in for the engine's own.
COPY --chown=aqevia:aqevia Cargo.toml Cargo.lock ./
COPY --chown=aqevia:aqevia .cargo .cargo
RUN mkdir -p src tests/bench \
 && echo '//! Empty.' >src/lib.rs \
 && printf '//! Empty.\nfn main() {}\n' | tee src/main.rs >tests/bench/bench.rs \
 && cargo clippy --all-targets --all-features --locked \
 && cargo build --release --locked

COPY --chown=aqevia:aqevia .clippy.toml .rustfmt.toml VERSION ./
COPY --chown=aqevia:aqevia src src
COPY --chown=aqevia:aqevia tests tests
ARG VERSION
RUN [ "$(cat VERSION)" = "$VERSION" ] \
 || { echo "VERSION says $(cat VERSION), the Dockerfile's ARG VERSION says $VERSION: make them agree" >&2; exit 1; }
# `touch`: cargo goes by the time of a file, and these may be older than what the empty ones were compiled to.
WORKDIR /app/src
RUN touch lib.rs main.rs \
 && cargo fmt --all -- --check \
 && cargo clippy --all-targets --all-features -- -D warnings \
 && cargo build --release --locked
USER root
RUN install -m 755 /app/target/release/aqevia-engine /usr/local/bin/aqevia-engine


FROM debian:trixie-slim AS runtime
RUN groupadd -r aqevia \
 && useradd --no-log-init -r -g aqevia aqevia \
 && [ "$(id -u aqevia):$(id -g aqevia)" = 999:999 ] \
 && mkdir /data \
 && chown aqevia:aqevia /data
WORKDIR /app
COPY --chown=aqevia:aqevia VERSION ./
COPY --from=build /usr/local/bin/aqevia-engine /usr/local/bin/aqevia-engine
ARG VERSION
LABEL org.opencontainers.image.title="Aqevia Engine" \
      org.opencontainers.image.description="Hosts one persistent text world: ticks it, keeps it in SQLite, shows its state over HTTP." \
      org.opencontainers.image.version="$VERSION"
ENV AQEVIA_SQLITE_PATH=/data/storage.sqlite \
    AQEVIA_OBSERVABILITY_ADDR=0.0.0.0:7878 \
    AQEVIA_TELNET_ADDR=0.0.0.0:4000 \
    AQEVIA_WEB_ADDR=0.0.0.0:4080 \
    PERSIST_FLUSH_INTERVAL_MS=1000 \
    PERSIST_BATCH_CAPACITY=10
VOLUME /data
EXPOSE 4000 4080 7878
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["aqevia-engine", "healthcheck"]
USER 999:999
ENTRYPOINT ["aqevia-engine"]


# From LABEL on the same as above; `make smoke` compares the two.
FROM build AS development
WORKDIR /app
# What the tests read besides. It comes last, so that a change of it does not rebuild the engine.
COPY --chown=aqevia:aqevia Dockerfile Makefile README.md compose.yaml ./
COPY --chown=aqevia:aqevia .ops .ops
ARG VERSION
LABEL org.opencontainers.image.title="Aqevia Engine" \
      org.opencontainers.image.description="Hosts one persistent text world: ticks it, keeps it in SQLite, shows its state over HTTP." \
      org.opencontainers.image.version="$VERSION"
ENV AQEVIA_SQLITE_PATH=/data/storage.sqlite \
    AQEVIA_OBSERVABILITY_ADDR=0.0.0.0:7878 \
    AQEVIA_TELNET_ADDR=0.0.0.0:4000 \
    AQEVIA_WEB_ADDR=0.0.0.0:4080 \
    PERSIST_FLUSH_INTERVAL_MS=1000 \
    PERSIST_BATCH_CAPACITY=10
VOLUME /data
EXPOSE 4000 4080 7878
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["aqevia-engine", "healthcheck"]
USER 999:999
ENTRYPOINT ["aqevia-engine"]
