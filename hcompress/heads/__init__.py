"""What answers from decision features: one module a head, behind one contract."""
