# Two images with the same code and model:
#   docker build -t mnist-serving .         HTTP and gRPC on a server of its own: docs/serving.md
#   docker build --target function .        the Lambda function, as `sam build` does
# The base image is AWS's own unless the argument BASE, the template's parameter BaseImage, names another.
ARG BASE
FROM ${BASE:-public.ecr.aws/lambda/python:3.13} AS base


FROM base AS build

# The packages come first, in a layer of their own: a change of code or model leaves them cached.
COPY layers/onnxruntime/requirements.txt layers/onnxruntime/prune.sh layers/onnxruntime/check.py /layer/
RUN python -m pip install --no-cache-dir --no-compile --disable-pip-version-check --root-user-action=ignore \
      --require-hashes --only-binary=:all: --target /opt/python -r /layer/requirements.txt \
 && sh /layer/prune.sh /opt/python \
 # Lambda can't write bytecode, so what is not compiled here is compiled in every cold start. Unchecked: no file changes after.
 && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/python \
 && PYTHONPATH=/opt/python python -B /layer/check.py

# All of the context, because a COPY of build/model-store alone fails where there is none yet: the image then carries the model
# that comes with the project.
COPY . /src
RUN mkdir -p /var/task \
 && cp -r /src/functions/predict/*.py /src/functions/predict/classifier /var/task \
 && mv /var/task/classifier/shipped /opt/model-store \
 && if [ -d /src/build/model-store ]; then cp -r /src/build/model-store/. /opt/model-store; fi \
 && python -m compileall -q --invalidation-mode unchecked-hash /var/task \
 # Lambda runs the function as a user of its own, who must be able to read it all.
 && chmod -R a+rX /opt/model-store /var/task


FROM base AS function
COPY --from=build /opt/python /opt/python
COPY --from=build /opt/model-store /opt/model-store
COPY --from=build /var/task /var/task

# So that the image answers by itself; the template sets what a stack wants otherwise. onnxruntime's Linux wheels send
# telemetry unless the first is set before the import. The second spares a cold start the threads of numpy's OpenBLAS, which find
# nothing to do: docs/performance.md has the gain.
ENV ORT_DISABLE_TELEMETRY=1 \
    OPENBLAS_NUM_THREADS=1 \
    MODEL_STORE_URL=file:///opt/model-store \
    POWERTOOLS_SERVICE_NAME=predict \
    POWERTOOLS_METRICS_NAMESPACE=ClassifierOnLambda

# No USER: Lambda runs every function as an unprivileged user of its own whatever stands here, and `sam local` adds its emulator
# to the image with the user that it finds, so it needs root.
CMD ["app.handler"]


FROM build AS build-server
RUN python -m pip install --no-cache-dir --no-compile --disable-pip-version-check --root-user-action=ignore \
      --require-hashes --only-binary=:all: --target /opt/server -r /src/requirements/serve.txt \
 && cp -r /src/serving /opt/server \
 && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/server \
 && chmod -R a+rX /opt/server


FROM base
COPY --from=build /opt/python /opt/python
COPY --from=build /opt/model-store /opt/model-store
COPY --from=build /var/task /var/task
COPY --from=build-server /opt/server /opt/server

ENV PYTHONPATH=/var/task:/opt/server:/opt/python \
    MODEL_STORE_URL=file:///opt/model-store
WORKDIR /var/task
USER 1000:1000
EXPOSE 5000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
  CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:5000/health', timeout=4)"]
# Options after the image's name are added: docker run mnist-serving --workers 2
ENTRYPOINT ["python", "-m", "serving", "serve", "--host", "0.0.0.0", "--port", "5000"]
