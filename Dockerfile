# The executable holds the runtime and everything else; the second stage adds only certificates and a user.
FROM oven/bun:1.4.5-slim AS build
WORKDIR /kith
COPY package.json bun.lock bunfig.toml ./
RUN bun install --frozen-lockfile --production
COPY . .
RUN bun run build

FROM debian:13-slim
RUN apt-get update \
  && apt-get install --yes --no-install-recommends ca-certificates \
  && rm -rf /var/lib/apt/lists/* \
  && useradd --system --uid 1000 --create-home --home-dir /data kith
COPY --from=build /kith/dist/kith /usr/local/bin/kith
USER kith
WORKDIR /data
ENV PDS_DATA_DIRECTORY=/data PDS_PORT=3000
VOLUME /data
EXPOSE 3000
STOPSIGNAL SIGTERM
ENTRYPOINT ["kith"]
CMD ["serve"]
