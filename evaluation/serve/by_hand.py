"""The smallest service around ALS of `implicit`, written by hand: what `serve_speed` compares with.

python -m evaluation.serve.by_hand FACTORS.npy PORT
"""

import sys

import numpy as np
import scipy.sparse as sp
import uvicorn
from fastapi import FastAPI
from implicit.cpu.als import AlternatingLeastSquares
from pydantic import BaseModel

app = FastAPI()
model = AlternatingLeastSquares()


class Request(BaseModel):
    history: list[int]
    k: int = 10


@app.post("/v1/recommend")
def recommend(request: Request):
    n_items = len(model.item_factors)
    known = [item for item in set(request.history) if 0 <= item < n_items]
    cells = np.ones(len(known), np.float32), ([0] * len(known), known)
    row = sp.csr_matrix(cells, shape=(1, n_items))
    ids, scores = model.recommend(0, row, N=request.k, recalculate_user=True)
    return {
        "items": [
            {"item_id": int(item), "score": float(score)}
            for item, score in zip(ids, scores, strict=True)
        ]
    }


if __name__ == "__main__":
    model.item_factors = np.load(sys.argv[1])
    model.factors = model.item_factors.shape[1]
    model.user_factors = np.zeros((1, model.factors), np.float32)
    uvicorn.run(app, port=int(sys.argv[2]), log_level="warning", access_log=False)
