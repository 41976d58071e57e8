# Two targets: slim (the last one, so the default) has a shell, distroless has nothing but the job.
# Both hold /opt/predeploy, which any image with a shell can take over; see deploy/railway/app.
ARG PYTHON_IMAGE=python:3.13-slim
ARG DEBIAN_IMAGE=debian:trixie-slim

FROM ${PYTHON_IMAGE} AS build
WORKDIR /build
# Whatever version: it only takes the debug symbols, 10 MB, out of one library.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends binutils
COPY requirements.txt ./
# The secret is for machines whose TLS is signed by an authority of their own.
RUN --mount=type=secret,id=ca \
    if [ -s /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi; \
    python3 -m venv venv && \
    venv/bin/python -m pip install --disable-pip-version-check --no-cache-dir --no-compile --no-deps \
        --only-binary=:all: --require-hashes --target=site --requirement=requirements.txt && \
    strip --strip-unneeded site/postgast/libpg_query.so
COPY deploy/image ./
COPY job/predeploy site/predeploy
RUN python3 tree.py /build/site /opt/predeploy && sh rootfs.sh /build/distroless

FROM scratch AS distroless
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="predeploy" \
      org.opencontainers.image.description="Migrates, seeds and verifies PostgreSQL before an app is deployed, and gates the deploy" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /build/distroless /
COPY --from=build /opt/predeploy /opt/predeploy
# The example is run only where PREDEPLOY_SQL_DIR names it, as railway.json does: an image whose folder
# was not mounted ends with 66.
COPY sql /app/sql
WORKDIR /app
USER 65532:65532
ENV PREDEPLOY_SQL_DIR=/sql
ENV SSL_CERT_FILE=/opt/predeploy/etc/ca-certificates.crt
ENTRYPOINT ["predeploy"]
CMD ["run"]

FROM ${DEBIAN_IMAGE} AS slim
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="predeploy" \
      org.opencontainers.image.description="Migrates, seeds and verifies PostgreSQL before an app is deployed, and gates the deploy" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/predeploy /opt/predeploy
RUN ln -s /opt/predeploy/bin/predeploy /usr/local/bin/predeploy
# The example is run only where PREDEPLOY_SQL_DIR names it, as railway.json does: an image whose folder
# was not mounted ends with 66.
COPY sql /app/sql
WORKDIR /app
USER 65532:65532
ENV PREDEPLOY_SQL_DIR=/sql
ENTRYPOINT ["predeploy"]
CMD ["run"]
