""""""


def test_estimate_agrees_with_the_bill(tmp_path, address):
    files = write_study(tmp_path, 60, prices=PRICES)
    write_frames(tmp_path, 20)
    write_pairs(tmp_path, 60, 20)
    files = ["--pairs", tmp_path / "pairs.parquet", "--frames", tmp_path / "frames.npz"]
    estimate = [*command(files)[:10], *files, "--estimate"]
    said = subprocess.run(estimate, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert counted(address)["requests"] == {}, "nothing is sent"
    assert "pairs    60: 60 questions, of which the ledger answers 0" in said
    assert not (study.parent.parent / "ledger.sqlite").exists()
    subprocess.run(command(files), cwd=ROOT, check=True, capture_output=True)
    ledger = Ledger(files.ledger)
    tokens = int(said.split("tokens")[1].split()[0])
    assert tokens == pytest.approx(audit.table(ledger)["input_tokens"].sum(), rel=0.1)
    again = subprocess.run(estimate, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert "pairs    60: 60 questions, of which the ledger answers 60" in again
    assert "price    0.00 $" in again
