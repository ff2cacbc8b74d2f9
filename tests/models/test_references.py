"""No model without an independent reference of its mathematics.

Autoencoders have theirs in test_contract_formulas.py (scores and loss, written out densely) and in
test_contract_gradients.py (finite differences, no dead weight), their divergences under tests/nn.
All others are listed here, with the test that fits or scores them another way.
"""

from __future__ import annotations

from pathlib import Path

import recae
from recae.models.neural._base import NeuralRecommender

REFERENCES = {
    "random": ("test_random.py", "test_every_place_of_a_list_is_as_likely_for_every_item"),
    "popularity": ("test_popularity.py", "test_the_score_is_the_number_of_users"),
    "item-knn": ("test_neighbours.py", "test_item_knn_is_the_sum_of_cosines"),
    "user-knn": ("test_neighbours.py", "test_user_knn_is_the_sum_over_the_nearest_users"),
    "bpr": ("test_bpr.py", "test_the_fit_ends_where_items_cannot_be_bettered"),
    "als": ("test_als.py", "test_the_fit_ends_where_neither_side_can_be_bettered"),
    "ease": ("test_linear.py", "test_the_weights_solve_the_problem"),
    "edlae": ("test_linear.py", "test_the_weights_solve_the_problem"),
    "rlae": ("test_linear.py", "test_the_weights_solve_the_problem"),
    "rdlae": ("test_linear.py", "test_the_weights_solve_the_problem"),
    "sparse-ease": ("test_sparse_ease.py", "test_every_item_is_least_squares_on_its_neighbours"),
    "slim": ("test_sparse_linear.py", "test_slim_is_an_elastic_net_of_every_item"),
    "admm-slim": ("test_sparse_linear.py", "test_admm_slim_ends_at_the_same_solution"),
    "rp3-beta": ("test_rp3_beta.py", "test_similarities_are_sums_over_walks"),
    "nmf": ("test_nmf.py", "test_a_user_is_a_non_negative_least_squares_solution"),
    "softmax-mf": ("test_softmax_mf.py", "test_the_loss_is_the_one_stated"),
    "pure-svd": ("test_svd.py", "test_pure_svd_projects_onto_singular_vectors"),
    "svd-ae": ("test_svd.py", "test_svd_ae_is_the_truncated_pseudo_inverse"),
    "infinite-ae": ("test_infinite_ae.py", "test_scores_are_a_kernel_regression"),
    "turbo-cf": ("test_turbo_cf.py", "test_similarities_are_powers_of_products"),
    "graph-filter": ("test_graph_filter.py", "test_the_ridge_is_a_ridge_regression"),
    "ensemble": ("test_ensemble.py", "test_equal_weights_are_sums_of_standardised_scores"),
}


def test_every_other_model_has_a_reference() -> None:
    others = {n for n, m in recae.MODELS.items() if not issubclass(m, NeuralRecommender)}
    assert set(REFERENCES) == others
    for file, test in REFERENCES.values():
        assert f"def {test}(" in (Path(__file__).parent / file).read_text(), test
