"""Architectures that have names: the winners that the paper's authors published."""

# Of the paper's space (METHOD.md, published results). Any entry point that reads an architecture
# takes these names too; pinas_mm.get_backbone(name) builds one.
PUBLISHED = {
    "pinas_cls": "301-3231-203213-032",
    "pinas_trans": "333-3113-330011-021",
}
