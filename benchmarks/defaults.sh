#!/usr/bin/env bash
# The table "Defaults, by evidence" of docs/benchmarks.md: one setting of a recipe changed at a time, pseudo-masks scored on
# validation masks. One seed; cells that share a training stage train once. Further options go to `wsss sweep`.
#
#   benchmarks/defaults.sh quickstart
#   benchmarks/defaults.sh sentinel_samples --set data.root=DIR
#   benchmarks/defaults.sh camvid --set data.root=DIR --set model.weights=VIT
#   benchmarks/defaults.sh neopolyp --set data.root=DIR --set model.weights=VIT
#
# Any of them with `--dry-run` lists the cells and stops.
set -euo pipefail

recipe=$1
shift
changes=()
case "$recipe" in
  # From scratch, 4 blocks: nothing is frozen, tokens enter at block 3. Without the refinement that the recipe has since.
  quickstart) half=2 changes=(--set pseudo_masks.refine={}) gates=false ;;
  sentinel_samples) half=2 gates=false ;;
  # One epoch instead of four.
  camvid) half=6 changes=(--set train.epochs=1) gates=true ;;
  neopolyp) half=6 changes=(--set train.epochs=1 --set model.image_size=168) gates=true ;;
  *) echo "no such recipe here: $recipe" >&2; exit 2 ;;
esac
unfrozen='train.freeze_below=0'

wsss sweep "$recipe" \
  --set segmentation=null --set 'evaluation.segmentation=[]' --set 'pseudo_masks.splits=[val]' \
  --set 'evaluation.pseudo_masks=[val]' --set 'export.splits=[]' \
  --stages labels,train,pseudo_masks,evaluation "${changes[@]}" \
  --case 'as is' \
  --case 'joint: model.attention=joint' \
  --case "enter at 0: model.class_tokens.enter_at=0; $unfrozen" \
  --case "enter at 0, all layers: model.class_tokens.enter_at=0; $unfrozen; pseudo_masks.source.layers=all" \
  --case "enter at 0, last half: model.class_tokens.enter_at=0; $unfrozen; pseudo_masks.source.layers=$half" \
  --case "enter at half: model.class_tokens.enter_at=$half; train.freeze_below=$([ "$gates" = true ] && echo "$half" || echo 0)" \
  --case "nothing frozen: $unfrozen" \
  --case 'concat: heads.class=concat' \
  --case 'no token masking: model.token_masking=0' \
  --case 'no register: model.registers=0' \
  --case '4 registers: model.registers=4' \
  --case "gates the other way: model.gates.enabled=$gates$([ "$gates" = true ] && echo '; objective.open_gates.weight=0.01')" \
  --case 'all layers: pseudo_masks.source.layers=all' \
  --case 'last layer: pseudo_masks.source.layers=last' \
  --case 'paint, mean: pseudo_masks.assign=paint; pseudo_masks.threshold={method: mean}' \
  --case 'paint, Otsu: pseudo_masks.assign=paint; pseudo_masks.threshold={method: otsu}' \
  --case 'paint: pseudo_masks.assign=paint' \
  --case 'argmax, mean: pseudo_masks.assign=argmax; pseudo_masks.threshold={method: mean}' \
  --case 'argmax, Otsu: pseudo_masks.assign=argmax; pseudo_masks.threshold={method: otsu}' \
  --case 'attention: pseudo_masks.source.kind=attention' \
  --case 'attention, all layers: pseudo_masks.source={kind: attention, layers: all}' \
  --case 'patch classifier: pseudo_masks.source=patch_scores' \
  --case 'fused: pseudo_masks.source.kind=fused' \
  --case 'normalize none: pseudo_masks.normalize=none' \
  --case 'normalize max: pseudo_masks.normalize=max' \
  --case 'affinity: pseudo_masks.refine.affinity.iterations=1' \
  --case 'no refinement: pseudo_masks.refine={}' \
  --case 'refinement, 5: pseudo_masks.refine.pixel_adaptive.iterations=5' \
  --case 'refinement, 10: pseudo_masks.refine.pixel_adaptive.iterations=10' \
  --case 'flips: pseudo_masks.flips=true' \
  --case 'no flips: pseudo_masks.flips=false' \
  --case 'scales: pseudo_masks.scales=[1,1.5]' \
  --case 'pooling: heads.patch={kind: linear, pool: lse, sharpness: 1}' \
  --case 'pooling, faster heads: heads.patch={kind: linear, pool: lse, sharpness: 1}; train.head_lr_factor=10' \
  "$@"
