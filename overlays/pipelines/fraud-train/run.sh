#!/bin/sh
# Every ${…} here is the shell's, and arrives in the cluster as it is written.
set -eu

SLOT="${SLOT:-$(date -u +%Y%m%d-%H%M)}"
OUT="${OUTPUT:-/tmp/fraud}/${SLOT}"

mkdir -p "${OUT}"
echo "training fraud for ${SLOT} with $# extra arguments into ${OUT}"
pip install --quiet scikit-learn==1.7.2
python -c "print('train here, then write ${OUT}/model.joblib')"
