# dust3d with the pins of constraints.txt. No container engine runs in CI: tests/test_containers.py
# compares this file with constraints.txt, pyproject.toml and .ci/venv, and nothing builds it there.
#
#   docker build --tag dust3d .                          (for an NVIDIA GPU: --build-arg EXTRAS=[cuda])
#   docker run --rm --user "$(id -u):$(id -g)" \
#       --volume "$PWD/data:/dust3d/data" --volume "$PWD/results:/dust3d/results" \
#       dust3d snakemake --cores all                     (for a GPU: --gpus all)
#   docker run --rm dust3d dust3d --help
FROM python:3.11-slim

ARG EXTRAS=""
# whoever runs it may be any user: caches go where everybody writes
ENV HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1

WORKDIR /dust3d
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY src ./src
RUN PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt \
    python -m pip install --editable ".${EXTRAS}"

COPY config ./config
COPY workflow ./workflow
RUN ln -s workflow/profiles/slurm slurm \
    && mkdir -p data results \
    && useradd --uid 1000 --no-create-home dust3d \
    && chmod a+rwX . data results

USER dust3d
VOLUME ["/dust3d/data", "/dust3d/results"]
CMD ["snakemake", "--cores", "all"]
