"""From a recogniser to ONNX graphs, node by node.

The graphs are written out by hand, not traced: one function a module, so that a file holds
the nodes it needs and no more, and the same weights give the same bytes. Parity with torch is
checked on every export, and a tensor that no node uses stops it.
"""
