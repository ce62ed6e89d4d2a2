# docker build -t tsrnet .                                                                      # CPU
# docker build -t tsrnet --build-arg BASE=pytorch/pytorch:2.6.0-cuda12.4-cudnn9-runtime .       # CUDA
# docker run --rm -v "$PWD:/work" tsrnet train dataset=labels dataset.labels=labels.csv dataset.videos=videos
ARG BASE=python:3.12-slim-bookworm
FROM ${BASE}

# A base without torch gets its CPU version.
RUN python -c "import torch" 2>/dev/null \
    || pip install --no-cache-dir torch torchvision --index-url https://download.pytorch.org/whl/cpu

ARG VERSION=0+docker
ARG EXTRAS=pretrained
WORKDIR /opt/tsrnet
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
COPY conf ./conf
RUN SETUPTOOLS_SCM_PRETEND_VERSION=${VERSION} pip install --no-cache-dir ".[${EXTRAS}]"

WORKDIR /work
ENTRYPOINT ["tsrnet"]
CMD ["--help"]
