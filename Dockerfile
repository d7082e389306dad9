# One image for one process of Priem. docs/runbook/install.ru.md says how it is used.
FROM python:3.11-slim

WORKDIR /opt/priem
COPY pyproject.toml constraints.txt README.md ./
COPY app app
COPY admin admin
COPY bots bots
COPY forms forms
COPY notifications notifications
COPY router router
COPY storage storage
# A number of its own for the user: config.toml on the host belongs to it.
RUN pip install --no-cache-dir -c constraints.txt . \
    && useradd --uid 10001 --create-home --home-dir /data priem \
    && install --directory --owner priem --group priem --mode 700 /data/backups /data/files

USER priem
WORKDIR /data
VOLUME /data
ENV PRIEM_CONFIG=/data/config.toml \
    PRIEM__SERVER__HOST=0.0.0.0
EXPOSE 8080
# Whether it answers, not whether all is well: a messenger that is down is no reason to restart.
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s \
    CMD ["python", "-c", "import socket; socket.create_connection(('127.0.0.1', 8080), 5).close()"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["priem"]
CMD ["run"]
