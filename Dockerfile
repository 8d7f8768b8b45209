# SKI-LVLM in a container, from the same pinned files and by the same script as without one.
#   docker build --tag ski-lvlm .                        for NVIDIA GPUs: PyTorch's wheels carry CUDA
#   docker build --tag ski-lvlm:cpu --build-arg DEVICE=cpu .
#   docker run --gpus all --ipc host --volume "$PWD/runs:/opt/ski-lvlm/runs" --volume ski-cache:/cache ski-lvlm COMMAND
FROM python:3.11.7-slim-bookworm

# DeepSpeed compiles its operations at the first start, and those of a CPU need a compiler.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*

# Whoever starts the container writes into mounted folders: --build-arg UID=$(id -u) makes that the same user.
ARG UID=1000
WORKDIR /opt/ski-lvlm
RUN useradd --create-home --uid "$UID" ski && install --directory --owner ski runs /cache

# Packages change seldom and are large, so they come before the code.
ARG DEVICE=gpu
ENV PIP_NO_CACHE_DIR=1
COPY requirements.txt requirements-offline.txt requirements-dev.txt constraints.txt pyproject.toml README.md ./
COPY scripts/environment.sh scripts/
RUN case "$DEVICE" in \
        gpu) ;; \
        cpu) python -m venv .venv \
            && .venv/bin/python -m pip install --constraint constraints.txt torch --index-url https://download.pytorch.org/whl/cpu ;; \
        *) echo "error: DEVICE=$DEVICE, expected cpu or gpu" >&2; exit 2 ;; \
    esac \
    && bash scripts/environment.sh

# The package is installed again, now that there is one.
COPY . .
RUN rm .venv/installed-package && bash scripts/environment.sh

USER ski
ENV PATH=/opt/ski-lvlm/.venv/bin:$PATH \
    HF_HOME=/cache/huggingface \
    SKI_CACHE=/cache/ski_lvlm \
    TORCH_EXTENSIONS_DIR=/cache/torch_extensions \
    TRITON_CACHE_DIR=/cache/triton \
    TOKENIZERS_PARALLELISM=false
VOLUME ["/opt/ski-lvlm/runs", "/cache"]
CMD ["bash"]
