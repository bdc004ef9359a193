# Runs the first Python that is new enough with the given arguments; $PYTHON, when set, is the only one tried.
new_enough='import sys; sys.exit(sys.version_info < (3, 11))'
for python in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
    if "$python" -c "$new_enough" 2>/dev/null; then
        if "$python" -c 'import ensurepip, venv' 2>/dev/null; then
            exec "$python" "$@"
        fi
        unusable=$python
    fi
done
if [ -n "${unusable:-}" ]; then
    echo "reelgate: $unusable has no venv module (on Debian and Ubuntu: apt install python3-venv)" >&2
else
    echo "reelgate: Python 3.11 or newer is needed; set PYTHON to its path, as in: make run PYTHON=/opt/python/bin/python3" >&2
fi
exit 1
