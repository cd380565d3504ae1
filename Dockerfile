# docker build --tag speechsense-watch .
#
# Volumes (how to mount them: docs/operations.md):
#   /etc/speechsense-watch        config.toml and api-key, read-only; the key may also come as a secret (api_key_file)
#   /var/lib/speechsense-watch    the queue and its journal: on a local disk, owned by 10001, kept when the container goes
#   the recordings                read-only, under any path the configuration names; readable by --group-add <their group's number>
# The root file system may be read-only (--read-only --tmpfs /tmp).
ARG PYTHON_TAG=3.13-slim

FROM python:${PYTHON_TAG} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore
# The packages before the sources: a change of the program leaves this layer as it is.
COPY requirements.txt requirements-build.txt /src/
RUN python -m venv /opt/build \
 && /opt/build/bin/pip install --quiet --require-hashes -r /src/requirements-build.txt \
 && python -m venv /opt/speechsense-watch \
 && /opt/speechsense-watch/bin/pip install --quiet --require-hashes -r /src/requirements.txt
COPY pyproject.toml README.md LICENSE /src/
COPY daemon /src/daemon
COPY generated /src/generated
# Nothing installs packages in a running container, so no pip goes along (sqlite-utils asks for it, for a command of its own).
RUN /opt/build/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /src/dist /src \
 && /opt/speechsense-watch/bin/pip install --quiet --no-deps --no-index /src/dist/*.whl \
 && /opt/speechsense-watch/bin/pip uninstall --quiet --yes pip \
 && /opt/speechsense-watch/bin/python -m compileall -q /opt/speechsense-watch/lib

FROM python:${PYTHON_TAG}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="speechsense-watch" \
      org.opencontainers.image.description="Brings every call recording of a watched folder to Yandex SpeechSense" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="MIT"
ENV PATH=/opt/speechsense-watch/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 LANG=C.UTF-8
# A fixed number: the owner of mounted folders is told by number, not by name.
RUN groupadd --gid 10001 speechsense-watch \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/speechsense-watch --shell /usr/sbin/nologin speechsense-watch \
 && install --directory --owner 10001 --group 10001 --mode 0700 /var/lib/speechsense-watch \
 && install --directory --mode 0755 /etc/speechsense-watch \
 && pip uninstall --quiet --yes --root-user-action=ignore pip
COPY --from=build /opt/speechsense-watch /opt/speechsense-watch
USER 10001:10001
WORKDIR /var/lib/speechsense-watch
STOPSIGNAL SIGTERM
# Healthy: the daemon holds its queue and its loops have moved lately. An absent service is no illness of the daemon.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD ["speechsense-watch", "status", "--alive"]
ENTRYPOINT ["speechsense-watch"]
CMD ["run"]
