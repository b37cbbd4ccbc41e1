"""Techniques that make a classifier smaller, faster or surer, each a module with one function.

| module | does | works on | trains |
| --- | --- | --- | --- |
| `distil` | a small network learns from the answers of large ones | Keras | yes |
| `prune` | the smallest weights become zero | Keras | yes |
| `structured` | whole filters and neurons are removed | Keras | yes |
| `factorise` | dense layers become two thin ones, by singular values | Keras | no |
| `qat` | the network learns with int8 rounding, and is exported so | Keras → ONNX | yes |
| `dynamic` | int8 weights, activations quantised as they come | ONNX | no |
| `static` | int8 weights and activations, calibrated on samples | ONNX | no |
| `weight_only` | weights stored in few bits, computed in float | ONNX | no |
| `temperature` | confidence that says how often the answer is right | ONNX | no |

Those on Keras networks compose in any order that makes sense, `qat` last: distil, remove filters,
factorise, prune, quantise. Each gives a new network and leaves its argument as it was; the same
seed gives the same bytes. What `prune` made zero stays zero in each that trains.
"""
