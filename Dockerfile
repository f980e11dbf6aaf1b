# A server of one model and one index. Both are mounted, not baked in:
#   docker build -t tutelage .
#   docker run -p 127.0.0.1:8000:8000 -e TUTELAGE_API_KEY -v $PWD/runs/demo/model:/model:ro -v $PWD/labels:/index:ro tutelage
FROM python:3.11-slim

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1

SHELL ["/bin/bash", "-o", "pipefail", "-c"]
WORKDIR /app
# torch for processors: the one of the package index carries gigabytes for graphics cards.
COPY constraints.txt .
RUN version=$(grep -E "^torch==" constraints.txt | head -n 1 | sed "s/^torch==//; s/[+;].*//; s/ //g") \
    && pip install --index-url https://download.pytorch.org/whl/cpu "torch==${version}"
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY src src
RUN pip install -c constraints.txt ".[serve]" \
    && useradd --system --uid 10001 --no-create-home tutelage

USER 10001
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/ready', timeout=4)"]
ENTRYPOINT ["tutelage", "serve"]
CMD ["/model", "--index", "/index", "--host", "0.0.0.0"]
