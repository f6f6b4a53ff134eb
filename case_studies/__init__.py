"""Case studies: what each paper claimed, tested by a few runs that differ in one thing, with a verdict."""
