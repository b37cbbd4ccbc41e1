#!/bin/sh
# Remove from a folder of installed packages what serving never reads: sh prune.sh DIR
#
# One list for the container image and the layer. It saves about 55 MB of 175, most of it the C
# library of onnxruntime, which the Python module does not link (it has the same code inside).
# `check.py` shows that what is left still serves; licences and package metadata stay.
set -eu

if [ ! -d "${1:-}/onnxruntime" ]; then
  echo "usage: sh prune.sh DIR, where DIR is the folder that pip installed onnxruntime into" >&2
  exit 2
fi
cd "$1"

# onnxruntime: tools for making models, and the library for programs in C.
rm -rf onnxruntime/transformers onnxruntime/quantization onnxruntime/tools onnxruntime/datasets \
  onnxruntime/backend
rm -f onnxruntime/capi/libonnxruntime.so.*

# numpy: its own test tools, the Fortran compiler driver, and what C extensions are built against.
rm -rf numpy/testing numpy/f2py numpy/_pyinstaller numpy/_core/include numpy/_core/lib/*.a \
  numpy/_core/_*_tests.*.so numpy/_core/_simd.*.so numpy/random/lib

# Everywhere: tests, type stubs, sources of extensions, launchers, and what pip recorded of them.
rm -rf bin
find . -depth -type d \( -name tests -o -name testdata -o -name __pycache__ \) -exec rm -rf {} +
find . -type f \( -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.h' -o -name '*.hpp' \
  -o -path '*.dist-info/RECORD' \) -exec rm -f {} +
