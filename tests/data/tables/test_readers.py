"""Files: what a frame gives, a file gives; what is wrong with a file is said with its name."""

import gzip

import pandas as pd
import pytest

from recae.data import Interactions, read_csv, read_parquet, read_table
from recae.errors import ConfigError, DataError, RecaeWarning

FRAME = pd.DataFrame(
    {
        "user_id": ["u1", "NA", "u1"],
        "item_id": [30, 10, 10],
        "weight": [1.0, 2.5, 3.0],
        "timestamp": [100, 200, 300],
        "comment": ["x, y", "", None],
    }
)
WRITERS = {
    "plays.parquet": lambda frame, path: frame.to_parquet(path),
    "plays.pq": lambda frame, path: frame.set_index("user_id").to_parquet(path),
    "plays.csv": lambda frame, path: frame.to_csv(path, index=False),
    "plays.csv.gz": lambda frame, path: frame.to_csv(path, index=False),
    "plays.TSV": lambda frame, path: frame.to_csv(path, index=False, sep="\t"),
    "a.plays.tsv.gz": lambda frame, path: frame.to_csv(path, index=False, sep="\t"),
}


@pytest.fixture(params=sorted(WRITERS))
def file(request, tmp_path):
    path = tmp_path / request.param
    WRITERS[request.param](FRAME, path)
    return path


def test_every_format_gives_what_the_frame_gives(file):
    data, expected = read_table(file), Interactions.from_frame(FRAME)
    assert data.fingerprint() == expected.fingerprint()
    assert data.times.tolist() == [200, 300, 100]  # rows NA, u1; columns 10, 30
    assert read_table(str(file), min_weight=2.0, time=None).to_frame().to_numpy().tolist() == [
        ["NA", 10, 2.5],
        ["u1", 10, 3.0],
    ]


def test_other_names_and_options_reach_the_frame(tmp_path):
    path = tmp_path / "plays.parquet"
    pd.DataFrame({"who": [1, 1], "what": [2, 2], "n": [3, 4]}).to_parquet(path)
    data = read_parquet(path, user="who", item="what", weight="n", duplicates="sum")
    assert data.to_frame().to_numpy().tolist() == [[1, 2, 7]]
    with pytest.raises(ConfigError, match="unknown duplicates 'add'"):
        read_parquet(tmp_path / "absent", duplicates="add")


def test_missing_files_and_folders_are_named(tmp_path):
    for read in (read_parquet, read_csv):
        with pytest.raises(DataError, match=r"plays\.parquet .*not exist"):
            read(tmp_path / "plays.parquet")
        with pytest.raises(DataError, match=r"folder .*no file .*\.(parquet|csv)"):
            read(tmp_path)


def test_bad_columns_are_named_with_the_file(file):
    with pytest.raises(DataError, match=rf"{file.name}: .*item column 'movie'.*columns: .*item_id"):
        read_table(file, item="movie")


def test_bad_values_are_named_with_the_file(tmp_path):
    path = tmp_path / "plays.parquet"
    FRAME.assign(weight=[1.0, 0.0, 1.0]).to_parquet(path)
    with pytest.raises(DataError, match=r"plays\.parquet: weights .*> 0.* 0\.0 at row 1"):
        read_parquet(path)
    FRAME.assign(item_id=pd.array([1, None, 2], dtype="Int64")).to_parquet(path)
    with pytest.raises(DataError, match=r"plays\.parquet: item ids .* missing .*row 1"):
        read_parquet(path)


def test_damaged_files_are_named(file):
    file.write_bytes(file.read_bytes()[:-20])
    if file.suffix in (".csv", ".TSV"):
        with pytest.raises(DataError, match=file.name):  # cut within its last record
            read_table(file)
    else:
        with pytest.raises(DataError, match=rf"{file.name} .*damaged"):
            read_table(file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"plays\.csv: .*empty"),
        (b"user_id,item_id\n", "no rows"),
        (
            b"user_id,item_id\n1,2\n3,4,5\n",
            r"plays\.csv: .*2 fields.* '3,4,5' at line 3",
        ),
        (b"user_id,item_id\n1,2,9\n3,4,9\n", "2 fields.* '1,2,9' at line 2 .*2 of 2"),
        (b"user_id,item_id\n1,2\n3\n", "2 fields.* '3' at line 3"),
        (b"user_id,item_id,user_id\n1,2,3\n", "user column 'user_id' .*several"),
        (b"user_id,item_id\n1.0,2\n3.0,4\n", "user ids .*floats"),
        (b"user_id,item_id\n1,2\n,4\n", "user ids .*missing .*line 3"),
        (b"user_id,item_id\n\xff\xfe,1\n", r"plays\.csv: .*UTF-8.* line 2 .*encoding="),
        (b"user_id,item_id,weight\n1,2,many\n", "weights .*numbers.*'many'"),
        (b"PAR1\x00\x00\x01\x02", "plays.csv"),
    ],
)
def test_bad_text(tmp_path, content, message):
    path = tmp_path / "plays.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_csv(path)


def test_a_text_file_that_is_no_parquet(tmp_path):
    path = tmp_path / "plays.parquet"
    path.write_text("user_id,item_id\n1,2\n")
    with pytest.raises(DataError, match=r"plays\.parquet .*damaged"):
        read_parquet(path)


def test_a_gzip_cut_short(tmp_path):
    path = tmp_path / "plays.csv.gz"
    text = "user_id,item_id\n" + "".join(f"{n},{n * 7919 % 10007}\n" for n in range(5000))
    path.write_bytes(gzip.compress(text.encode())[:-500])
    with pytest.raises(DataError, match=r"plays\.csv\.gz .*damaged"):
        read_table(path)


def test_a_separator_and_whole_columns_decide_the_type_of_ids(tmp_path):
    path = tmp_path / "plays.txt"
    path.write_text("user_id;item_id\n" + "1;2\n" * 300_000 + "2;x\n")  # far beyond one block
    with pytest.warns(RecaeWarning, match="1 of 300,001 item ids.* 'x' at line 300002 .*text"):
        assert read_csv(path, sep=";").items.ids.tolist() == ["2", "x"]
    with pytest.warns(RecaeWarning, match="'x' at line 300002 .*1 of 300,001"):
        assert read_csv(path, on_bad_rows="drop").items.ids.tolist() == [2]


@pytest.mark.parametrize("sep", ["", "\n", '"', 3])
def test_a_separator_separates(tmp_path, sep):
    with pytest.raises(ConfigError) as error:
        read_csv(tmp_path / "plays.dat", sep=sep)
    assert error.value.parameter == "sep"
    assert error.value.value == sep


def test_text_quirks_that_are_no_mistakes(tmp_path):
    path = tmp_path / "plays.csv"
    path.write_text(
        "\ufefftitle,user_id,item_id,weight,timestamp\n"
        '"two\nlines, quoted",007, 5,1e0,1970-01-01 00:00:01\n'
        "\n"
        ",8,6, 2.5,1970-01-02\n",
        encoding="utf-8",
    )
    assert read_csv(path).to_frame().to_numpy().tolist() == [
        [7, 5, 1.0, 10**9],
        [8, 6, 2.5, 86_400 * 10**9],
    ]


def test_unknown_endings_list_the_known_ones(tmp_path):
    for name in ("plays.json", "plays", "plays.parquet.gz", "plays.gz"):
        with pytest.raises(DataError, match=r"known endings: \.parquet, \.pq, \.csv"):
            read_table(tmp_path / name)
