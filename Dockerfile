# syntax=docker/dockerfile:1
# The image of doorward: one program, on a base without a shell or a package manager.
#
#   docker build --build-arg DOORWARD_REVISION="$(git rev-parse HEAD)" -t registry.example.com/doorward:0.1.0 .
#
# The bases are pinned by tag. To pin them for good, write the digest behind it, as `docker buildx imagetools inspect TAG` shows it:
# FROM rust:1.95.0-slim-bookworm@sha256:… and the same below. Both are Debian 12, so that the libc linked against is the one that
# is found.

FROM rust:1.95.0-slim-bookworm AS build

# For zlib-ng and aws-lc. Any version does: nothing of them is in the image.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends cmake make \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /src
COPY Cargo.toml Cargo.lock ./
# Cargo wants to see the benches it is told of; none is built.
COPY benches benches
COPY src src
COPY templates templates
COPY assets assets

# What doorward_build_info says it was built from.
ARG DOORWARD_REVISION=unknown
ENV DOORWARD_REVISION=$DOORWARD_REVISION
# The same sources give the same program: exactly the versions of Cargo.lock, and no paths of the machine but /src.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --release --bin doorward \
    && strip -o /doorward target/release/doorward

# libc, libgcc and the certificates of public authorities.
FROM gcr.io/distroless/cc-debian12:nonroot

ARG DOORWARD_REVISION=unknown
ARG DOORWARD_VERSION=0.1.0
LABEL org.opencontainers.image.title="doorward" \
      org.opencontainers.image.description="A reverse-proxy authentication gateway" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$DOORWARD_VERSION" \
      org.opencontainers.image.revision="$DOORWARD_REVISION"

COPY --from=build /doorward /usr/local/bin/doorward
# By number, so that Kubernetes can tell that it is not root.
USER 65532:65532
# Where gateway.toml is mounted; `doorward` looks for it in the folder it is started in.
WORKDIR /etc/doorward
EXPOSE 8080
ENTRYPOINT ["doorward"]
CMD ["serve"]
