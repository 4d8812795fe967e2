#!/bin/bash
#SBATCH --job-name=vlm
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=8
#SBATCH --mem=64G
#SBATCH --time=08:00:00
#SBATCH --output=vlm_%j.log
# A model that answers questions about pictures, as a job of its own: the server's command is what follows the script's name.
#
#   sbatch --partition=PARTITION workflow/profiles/slurm/serve_vlm.sh vllm serve Qwen/Qwen2.5-VL-7B-Instruct
#
# Any server will do that speaks the OpenAI API and takes --host and --port (vLLM, SGLang, llama.cpp). Once it answers, its address
# and a key made for it are in vlm.env (or $VLM_ENV) of the folder it was submitted from, readable by you alone; when it ends, the file goes.
set -euo pipefail
umask 077
file=${VLM_ENV:-$SLURM_SUBMIT_DIR/vlm.env}
port=$((20000 + SLURM_JOB_ID % 40000)) # differs between the jobs of one node
OPENAI_API_KEY=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
export OPENAI_API_KEY VLLM_API_KEY=$OPENAI_API_KEY LLAMA_API_KEY=$OPENAI_API_KEY # by environment: a command line is seen by everyone on the node
address=http://$(hostname):$port/v1

"$@" --host 0.0.0.0 --port "$port" &
server=$!
trap 'rm -f "$file"; kill "$server" 2>/dev/null || true' EXIT
trap 'exit 143' TERM # SLURM's, at the end of the time and by scancel

until curl --silent --fail --noproxy '*' --header @- "$address/models" >/dev/null <<<"Authorization: Bearer $OPENAI_API_KEY"; do
    kill -0 "$server" || exit 1
    sleep 2
done
printf 'export OPENAI_BASE_URL=%s OPENAI_API_KEY=%s\n' "$address" "$OPENAI_API_KEY" >"$file.$SLURM_JOB_ID"
mv "$file.$SLURM_JOB_ID" "$file"
echo "answers at $address"
wait "$server"
