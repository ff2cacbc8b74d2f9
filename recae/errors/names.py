"""The name that is meant: other spellings, and what peers call the same thing."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Did you mean 'ease'?, with the space before it; nothing if no known name is near."""
    near = nearest(name, known)
    return "" if near is None else f" Did you mean {near!r}?"


def listed(names: Iterable[str]) -> str:
    """Names in alphabetical order, with commas."""
    return ", ".join(sorted(names)) or "none"


def folded(name: object) -> str:
    """A name without case, separators and accents: what people mean when they type it."""
    return "".join(letter for letter in str(name).casefold() if letter.isalnum())


def nearest(name: object, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known name that is meant by another spelling, or by the name that a peer gives it.

    Case, `-` and `_` do not count. Then come the names in `PEERS`, then the most similar spelling,
    if its ratio of `difflib` is at least the cutoff. None if nothing is near.

    >>> nearest("Mult_VAE", ["mult-vae", "ease"]), nearest("factors", ["latent", "l2"])
    ('mult-vae', 'latent')
    """
    names = {folded(one): one for one in sorted(known)}
    wanted = folded(name)
    if wanted in names:
        return names[wanted]
    for ours in _of_peers().get(wanted, []):
        if ours in names.values():
            return ours
    near = difflib.get_close_matches(wanted, names, n=1, cutoff=cutoff)
    return names[near[0]] if near else None


PEERS = """
mult-vae MultVAE: MultiVAE Mult-VAE-PR StandardVAE VAE
mult-dae MultDAE: MultiDAE DAE
ease EASE: EASER EASEModel EASEr
als ALS: AlternatingLeastSquares ImplicitMF ImplicitMFScorer iALS WMF WRMF MF
als ALS: ImplicitALSWrapperModel
bpr BPR: BayesianPersonalizedRanking BPRMF MF-BPR
item-knn ItemKNN: ItemKNNScorer ItemItemRecommender ItemItem CosineRecommender BM25Recommender
item-knn ItemKNN: TFIDFRecommender ImplicitItemKNNWrapperModel ItemCF KNN
user-knn UserKNN: UserKNNScorer UserUser UserCF
popularity Popularity popular: Pop PopScorer MostPop MostPopular TopPop PopularModel popular
pure-svd PureSVD: SVD PureSVDModel TruncatedSVD BiasedSVD
random Random: RandomModel RandomRec
latent: factors n_factors num_factors n_components components embedding_size embedding_dim embedding
latent: features latent_dim latent_dimension latent_size n_latent rank dim bottleneck
l2: reg regularization regularisation reg_weight lambda lambd lam l2_reg weight_decay decay
l2: l2_regularization user_reg item_reg
epochs trials: iterations iteration n_iter iters max_iter n_epochs num_epochs epoch train_epochs
epochs trials: max_epochs num_iterations
lr: learning_rate step_size eta
init: start initialisation initialization initializer init_method weight_init
hidden: mlp_hidden_size hidden_size hidden_sizes hidden_layer_sizes layers hidden_layers
hidden: hidden_dims hidden_dim encoder_dims intermediate_dim
dropout: dropout_prob dropout_rate dropout_ratio p_dropout
beta: anneal_cap kl_weight max_beta
anneal: total_anneal_steps anneal_steps annealing warmup
batch_size: train_batch_size batch eval_batch_size bs
seed --seed: random_state random_seed rng_seed rng rng_spec
neighbours: neighbors n_neighbors max_nbrs n_nbrs knn K
k -k: n top_k top_n n_items num_items n_recommendations num_recommendations cutoff how_many length
exclude_seen --no-exclude-seen: filter_already_liked_items filter_already_liked filter_viewed
exclude_seen --no-exclude-seen: filter_seen remove_seen exclude_viewed exclude_known allow_seen
exclude_items --exclude-items: filter_items blacklist blocklist exclude items_to_exclude forbidden
items --items: items_to_recommend whitelist candidates selected_items allowed only_items
history --liked --history: user_items history_items user_history interactions
data: X interactions train train_set train_data dataset user_items
user users --user: user_id user_col user_column user_field col_user
users user --users: user_ids uids uid
item items --item: item_id item_col item_column item_field col_item
items item --items: item_ids iids
weight --weight: rating_col rating col_rating count score
time --time: time_col time_field col_timestamp timestamp date
sep --sep: delimiter separator field_separator
progress --verbose: verbose show_progress progress_bar tqdm
device --device: use_gpu gpu cuda accelerator
test held_out --held-out: test_size test_ratio test_fraction test_share
validation --held-out: val_size validation_size val_ratio valid
trials --trials: n_trials max_evals num_trials
seconds --seconds: timeout max_time time_budget time_limit
overwrite --overwrite: force replace exist_ok
path out --out: output out_file filename file filepath fname
model --model: algo algorithm model_name
metrics metric --metrics --metric: valid_metric eval_metric scoring
--set: param params hyperparameter hyperparameters
ml-latest-small: movielens movielens-small ml-small
ml-100k: movielens-100k
ml-1m: movielens-1m
ml-10m: movielens-10m
ml-20m: movielens-20m
lastfm-hetrec: lastfm last.fm hetrec
msd-taste-profile: msd millionsong
yelp2018: yelp
patience: early_stopping early_stop stopping_step n_iter_no_change
lr: lr_rate
test: cutoff n last
metrics: k at eval_metrics
min_per_user: k min_interactions min_ratings
time_format --time-format: date_format datetime_format
mult-vae MultVAE: VAE-CF VAECF
item-knn ItemKNN: KNN-Item ItemKNNCF
popularity Popularity: baseline
validation --held-out: val val_data eval_set
--held-out: validation test_size
held_out: test_users
exclude_seen: seen
--quiet: silent
--verbose: debug log log_level
--liked: new_user likes liked_items
--out: o
--model: m
--seconds: budget
--checkpoint: resume continue
--device: cpu
--least: min_users min_items
fit: train learn fit_model
best: auto automl find_best run
recommend: predict recs rec suggest topn topk score similar
tune: search optimize optimise hyperopt hpo
evaluate: eval benchmark test compare measure
map: plot draw visualize tsne
datasets: data download
export: dump batch write
hit_rate: HR hit hits hit_ratio
precision: prec P
recall: rec R sensitivity
mrr: RR reciprocal_rank RecipRank mean_reciprocal_rank
map: AP average_precision mean_average_precision
coverage: item_coverage cov catalog_coverage catalogue_coverage
gini: gini_index ListGini exposure_gini
diversity: ILD intra_list_similarity ILS intra_list_diversity
popularity: average_popularity ARP mean_popularity
novelty: MIUF self_information EPC
ndcg: normalized_discounted_cumulative_gain ndcg_score
"""
"""Our names, in the order of preference, and those of implicit, RecBole, LensKit, RecTools,
scikit-learn and others for the same. They are answered, not accepted: what a name means differs
between libraries, and silence would hide it."""


@functools.cache
def _of_peers() -> dict[str, list[str]]:
    """A folded name of a peer -> ours."""
    found: dict[str, list[str]] = {}
    for line in PEERS.strip().splitlines():
        ours, theirs = line.split(":")
        for name in theirs.split():
            found.setdefault(folded(name), []).extend(ours.split())
    return found
