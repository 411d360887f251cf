# Two images from one source: `service`, the API without torch, and `worker`, which trains.
#
#   docker build --target service --tag ridgeline/service .
#   docker build --target worker --tag ridgeline/worker .

FROM python:3.11-slim-bookworm AS wheel
WORKDIR /source
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY contract contract
COPY service service
COPY worker worker
COPY client client
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels . && cp constraints.txt /wheels/


FROM python:3.11-slim-bookworm AS base
LABEL org.opencontainers.image.title="Ridgeline" \
      org.opencontainers.image.description="A self-hosted REST service for penalised training" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PYTHONUNBUFFERED=1 \
    RIDGELINE_ARTIFACTS_FOLDER=/var/lib/ridgeline/artifacts \
    RIDGELINE_SCRATCH_FOLDER=/var/lib/ridgeline/scratch
# A fixed number, so that files on a shared volume belong to the same user in both images. The folders exist beforehand
# because a new named volume takes over the owner of the folder it covers.
RUN groupadd --gid 10001 ridgeline \
 && useradd --uid 10001 --gid 10001 --create-home --home-dir /var/lib/ridgeline --shell /usr/sbin/nologin ridgeline \
 && install --directory --owner ridgeline --group ridgeline /var/lib/ridgeline/artifacts /var/lib/ridgeline/scratch
WORKDIR /var/lib/ridgeline


FROM base AS service
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    pip install --no-cache-dir --constraint /wheels/constraints.txt /wheels/*.whl
USER 10001
# Inside a container the API must listen on all its addresses, and it refuses to until there is an API key: give it
# RIDGELINE_ADMIN_KEY.
ENV RIDGELINE_HOST=0.0.0.0 \
    RIDGELINE_PORT=8000
EXPOSE 8000
# http.client and not urllib: a proxy in the environment must not be asked about our own address.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['RIDGELINE_PORT']), timeout=4); c.request('GET', '/healthz'); sys.exit(c.getresponse().status != 200)"]
CMD ["python", "-m", "service"]


FROM base AS worker
# torch first, in a layer of its own: it is gigabytes and changes only with its version, not with our code.
RUN --mount=type=bind,source=constraints.txt,target=/tmp/constraints.txt \
    pip install --no-cache-dir --constraint /tmp/constraints.txt torch torchvision
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    set -- /wheels/*.whl && pip install --no-cache-dir --constraint /wheels/constraints.txt "$1[worker]"
USER 10001
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
    CMD ["python", "-m", "worker.health"]
CMD ["python", "-m", "worker"]
