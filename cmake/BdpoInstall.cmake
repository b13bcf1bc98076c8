# Install, pkg-config and the Debian package.
