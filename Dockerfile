# The image, from the context that scripts/image.sh prepares in target/image (`make image`).
# Nothing is pulled and nothing is run while it is built. Dockerfile.build does it all in Docker.
FROM scratch
COPY rootfs/ /
ENV PATH=/ SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
VOLUME ["/var/lib/roadstead", "/var/log/roadstead"]
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s --retries=3 CMD ["/roadstead", "health"]
ENTRYPOINT ["/roadstead"]
CMD ["serve"]
