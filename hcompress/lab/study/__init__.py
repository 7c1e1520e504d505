"""Studies: one recipe's variants, trained alike and compared in pairs."""
