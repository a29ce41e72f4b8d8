"""The domain adapters that come with wsss-toolkit, each an entry point in `wsss.adapters`."""
