"""What kind of processor this is: LibTorch and its BLAS choose kernels by it, and other kernels round otherwise."""


def cpu_kind():
    """Vendor, family and model, e.g. "AuthenticAMD 26 2"; None where the kernel does not say."""
    facts = {}
    with open("/proc/cpuinfo") as file:
        for line in file:
            key, _, value = line.partition(":")
            facts.setdefault(key.strip(), value.strip())
    names = ("vendor_id", "cpu family", "model")
    return " ".join(facts[name] for name in names) if all(name in facts for name in names) else None
