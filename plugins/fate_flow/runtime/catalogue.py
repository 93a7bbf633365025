"""The module descriptions of FATE 1.4, as data.

One entry per module: names, roles, code paths and ``need_deploy`` are FATE 1.4's
(FATE-Serving reads the code path in a predict DSL); programs are ours. A module
without programs is known but not available in this version.
"""

from __future__ import annotations

from fate_flow.runtime.registry import ModuleSpec

SPECS: tuple[ModuleSpec, ...] = (
    ModuleSpec(
        name="DataIO",
        programs={
            "guest": "fate_flow.components.data_io.component:DataIO",
            "host": "fate_flow.components.data_io.component:DataIO",
        },
        param="fate_flow.components.data_io.params:DataIOParam",
        code_path={
            "guest": "federatedml/util/data_io.py/DataIO",
            "host": "federatedml/util/data_io.py/DataIO",
        },
        exchanges=False,
    ),
    ModuleSpec(
        name="Download",
        programs={
            "local": "fate_flow.components.download.component:Download",
        },
        param="fate_flow.components.download.params:DownloadParam",
        code_path={
            "local": "fate_flow/utils/download.py/Download",
        },
        exchanges=False,
    ),
    ModuleSpec(
        name="Evaluation",
        programs={
            "guest": "fate_flow.components.evaluation.component:Evaluation",
            "host": "fate_flow.components.evaluation.component:Evaluation",
        },
        param="fate_flow.components.evaluation.params:EvaluateParam",
        code_path={
            "guest": "federatedml/evaluation/evaluation.py/Evaluation",
            "host": "federatedml/evaluation/evaluation.py/Evaluation",
        },
        need_deploy=False,
        exchanges=False,
    ),
    ModuleSpec(
        name="FeatureScale",
        programs={
            "guest": "fate_flow.components.feature_scale.component:FeatureScale",
            "host": "fate_flow.components.feature_scale.component:FeatureScale",
        },
        param="fate_flow.components.feature_scale.params:ScaleParam",
        code_path={
            "guest": "federatedml/feature/scale.py/Scale",
            "host": "federatedml/feature/scale.py/Scale",
        },
        exchanges=False,
    ),
    ModuleSpec(
        name="FederatedSample",
        code_path={
            "guest": "federatedml/feature/sampler.py/Sampler",
            "host": "federatedml/feature/sampler.py/Sampler",
        },
        need_deploy=False,
    ),
    ModuleSpec(
        name="HeteroFeatureBinning",
        programs={
            "guest": "fate_flow.components.hetero_feature_binning.guest:HeteroFeatureBinningGuest",
            "host": "fate_flow.components.hetero_feature_binning.host:HeteroFeatureBinningHost",
        },
        param="fate_flow.components.hetero_feature_binning.params:FeatureBinningParam",
        code_path={
            "guest": "federatedml/feature/hetero_feature_binning/hetero_binning_guest.py/HeteroFeatureBinningGuest",
            "host": "federatedml/feature/hetero_feature_binning/hetero_binning_host.py/HeteroFeatureBinningHost",
        },
    ),
    ModuleSpec(
        name="HeteroFeatureSelection",
        programs={
            "guest": "fate_flow.components.hetero_feature_selection.guest:HeteroFeatureSelectionGuest",
            "host": "fate_flow.components.hetero_feature_selection.host:HeteroFeatureSelectionHost",
        },
        param="fate_flow.components.hetero_feature_selection.params:FeatureSelectionParam",
        code_path={
            "guest": "federatedml/feature/hetero_feature_selection/feature_selection_guest.py/HeteroFeatureSelectionGuest",
            "host": "federatedml/feature/hetero_feature_selection/feature_selection_host.py/HeteroFeatureSelectionHost",
        },
    ),
    ModuleSpec(
        name="HeteroFM",
        code_path={
            "guest": "federatedrec/factorization_machine/hetero_factorization_machine/hetero_fm_guest.py/HeteroFMGuest",
            "host": "federatedrec/factorization_machine/hetero_factorization_machine/hetero_fm_host.py/HeteroFMHost",
            "arbiter": "federatedrec/factorization_machine/hetero_factorization_machine/hetero_fm_arbiter.py/HeteroFMArbiter",
        },
        trainable=True,
    ),
    ModuleSpec(
        name="HeteroGMF",
        code_path={
            "guest": "federatedrec/general_mf/hetero_gmf/hetero_gmf_client.py/HeteroGMFGuest",
            "host": "federatedrec/general_mf/hetero_gmf/hetero_gmf_client.py/HeteroGMFHost",
            "arbiter": "federatedrec/general_mf/hetero_gmf/hetero_gmf_arbiter.py/HeteroGMFArbiter",
        },
        trainable=True,
    ),
    ModuleSpec(
        name="HeteroLinR",
        code_path={
            "guest": "federatedml/linear_model/linear_regression/hetero_linear_regression/hetero_linr_guest.py/HeteroLinRGuest",
            "host": "federatedml/linear_model/linear_regression/hetero_linear_regression/hetero_linr_host.py/HeteroLinRHost",
            "arbiter": "federatedml/linear_model/linear_regression/hetero_linear_regression/hetero_linr_arbiter.py/HeteroLinRArbiter",
        },
        trainable=True,
    ),
    ModuleSpec(
        name="HeteroLR",
        programs={
            "guest": "fate_flow.components.hetero_lr.guest:HeteroLRGuest",
            "host": "fate_flow.components.hetero_lr.host:HeteroLRHost",
            "arbiter": "fate_flow.components.hetero_lr.arbiter:HeteroLRArbiter",
        },
        param="fate_flow.components.hetero_lr.params:HeteroLogisticParam",
        code_path={
            "guest": "federatedml/linear_model/logistic_regression/hetero_logistic_regression/hetero_lr_guest.py/HeteroLRGuest",
            "host": "federatedml/linear_model/logistic_regression/hetero_logistic_regression/hetero_lr_host.py/HeteroLRHost",
            "arbiter": "federatedml/linear_model/logistic_regression/hetero_logistic_regression/hetero_lr_arbiter.py/HeteroLRArbiter",
        },
        trainable=True,
    ),
    ModuleSpec(
        name="HeteroMF",
        code_path={
            "guest": "federatedrec/matrix_factorization/hetero_matrixfactor/hetero_mf_client.py/HeteroMFGuest",
            "host": "federatedrec/matrix_factorization/hetero_matrixfactor/hetero_mf_client.py/HeteroMFHost",
            "arbiter": "federatedrec/matrix_factorization/hetero_matrixfactor/hetero_mf_arbiter.py/HeteroMFArbiter",
        },
        trainable=True,
    ),
    ModuleSpec(
        name="HeteroNN",
        code_path={
            "guest": "federatedml/nn/hetero_nn/hetero_nn_guest.py/HeteroNNGuest",
            "host": "federatedml/nn/hetero_nn/hetero_nn_host.py/HeteroNNHost",
        },
        trainable=True,
    ),
    ModuleSpec(
        name="HeteroPearson",
        code_path={
            "guest": "federatedml/statistic/correlation/hetero_pearson.py/HeteroPearson",
            "host": "federatedml/statistic/correlation/hetero_pearson.py/HeteroPearson",
        },
    ),
    ModuleSpec(
        name="HeteroPoisson",
        code_path={
            "guest": "federatedml/linear_model/poisson_regression/hetero_poisson_regression/hetero_poisson_guest.py/HeteroPoissonGuest",
            "host": "federatedml/linear_model/poisson_regression/hetero_poisson_regression/hetero_poisson_host.py/HeteroPoissonHost",
            "arbiter": "federatedml/linear_model/poisson_regression/hetero_poisson_regression/hetero_poisson_arbiter.py/HeteroPoissonArbiter",
        },
        trainable=True,
    ),
    ModuleSpec(
        name="HeteroSecureBoost",
        code_path={
            "guest": "federatedml/tree/hetero/hetero_secureboosting_tree_guest.py/HeteroSecureBoostingTreeGuest",
            "host": "federatedml/tree/hetero/hetero_secureboosting_tree_host.py/HeteroSecureBoostingTreeHost",
        },
        trainable=True,
    ),
    ModuleSpec(
        name="HeteroSVD",
        code_path={
            "guest": "federatedrec/svd/hetero_svd/hetero_svd_client.py/HeteroSVDGuest",
            "host": "federatedrec/svd/hetero_svd/hetero_svd_client.py/HeteroSVDHost",
            "arbiter": "federatedrec/svd/hetero_svd/hetero_svd_arbiter.py/HeteroSVDArbiter",
        },
        trainable=True,
    ),
    ModuleSpec(
        name="HeteroSVDpp",
        code_path={
            "guest": "federatedrec/svdpp/hetero_svdpp/hetero_svdpp_client.py/HeteroSVDppGuest",
            "host": "federatedrec/svdpp/hetero_svdpp/hetero_svdpp_client.py/HeteroSVDppHost",
            "arbiter": "federatedrec/svdpp/hetero_svdpp/hetero_svdpp_arbiter.py/HeteroSVDppArbiter",
        },
        trainable=True,
    ),
    ModuleSpec(
        name="HomoFM",
        code_path={
            "guest": "federatedrec/factorization_machine/homo_factorization_machine/homo_fm_guest.py/HomoFMGuest",
            "host": "federatedrec/factorization_machine/homo_factorization_machine/homo_fm_host.py/HomoFMHost",
            "arbiter": "federatedrec/factorization_machine/homo_factorization_machine/homo_fm_arbiter.py/HomoFMArbiter",
        },
        trainable=True,
    ),
    ModuleSpec(
        name="HomoLR",
        code_path={
            "guest": "federatedml/linear_model/logistic_regression/homo_logsitic_regression/homo_lr_guest.py/HomoLRGuest",
            "host": "federatedml/linear_model/logistic_regression/homo_logsitic_regression/homo_lr_host.py/HomoLRHost",
            "arbiter": "federatedml/linear_model/logistic_regression/homo_logsitic_regression/homo_lr_arbiter.py/HomoLRArbiter",
        },
        trainable=True,
    ),
    ModuleSpec(
        name="HomoNN",
        code_path={
            "guest": "federatedml/nn/homo_nn/enter_point.py/HomoNNDefaultClient",
            "host": "federatedml/nn/homo_nn/enter_point.py/HomoNNDefaultClient",
            "arbiter": "federatedml/nn/homo_nn/enter_point.py/HomoNNDefaultServer",
        },
        trainable=True,
    ),
    ModuleSpec(
        name="HomoNNExperiment",
        code_path={
            "arbiter": "federatedml/nn/homo_nn/enter_point.py/HomoNNArbiterSubmitServer",
            "host": "federatedml/nn/homo_nn/enter_point.py/HomoNNArbiterSubmitClient",
        },
        trainable=True,
    ),
    ModuleSpec(
        name="HomoSecureboost",
        code_path={
            "guest": "federatedml/tree/homo/homo_secureboosting_client.py/HomoSecureBoostingTreeClient",
            "host": "federatedml/tree/homo/homo_secureboosting_client.py/HomoSecureBoostingTreeClient",
            "arbiter": "federatedml/tree/homo/homo_secureboosting_arbiter.py/HomoSecureBoostingTreeArbiter",
        },
        trainable=True,
    ),
    ModuleSpec(
        name="Intersection",
        programs={
            "guest": "fate_flow.components.intersection.guest:IntersectionGuest",
            "host": "fate_flow.components.intersection.host:IntersectionHost",
        },
        param="fate_flow.components.intersection.params:IntersectParam",
        code_path={
            "guest": "federatedml/statistic/intersect/intersect_model.py/IntersectGuest",
            "host": "federatedml/statistic/intersect/intersect_model.py/IntersectHost",
        },
    ),
    ModuleSpec(
        name="LocalBaseline",
        code_path={
            "guest": "federatedml/local_baseline/local_baseline.py/LocalBaseline",
            "host": "federatedml/local_baseline/local_baseline.py/LocalBaseline",
        },
        trainable=True,
        exchanges=False,
    ),
    ModuleSpec(
        name="ModelRestore",
        programs={
            "local": "fate_flow.components.model_archive.component:ModelRestore",
        },
        param="fate_flow.components.model_archive.params:ModelRestoreParam",
        code_path={
            "local": "fate_flow/components/model_operation_components.py/ModelRestore",
        },
        exchanges=False,
    ),
    ModuleSpec(
        name="ModelStore",
        programs={
            "local": "fate_flow.components.model_archive.component:ModelStore",
        },
        param="fate_flow.components.model_archive.params:ModelStoreParam",
        code_path={
            "local": "fate_flow/components/model_operation_components.py/ModelStore",
        },
        exchanges=False,
    ),
    ModuleSpec(
        name="OneHotEncoder",
        programs={
            "guest": "fate_flow.components.one_hot_encoder.component:OneHotEncoder",
            "host": "fate_flow.components.one_hot_encoder.component:OneHotEncoder",
        },
        param="fate_flow.components.one_hot_encoder.params:OneHotEncoderParam",
        code_path={
            "guest": "federatedml/feature/one_hot_encoder.py/OneHotEncoder",
            "host": "federatedml/feature/one_hot_encoder.py/OneHotEncoder",
        },
        exchanges=False,
    ),
    ModuleSpec(
        name="Rsa",
        code_path={
            "guest": "federatedml/util/rsa.py/RsaModel",
            "host": "federatedml/util/rsa.py/RsaModel",
        },
        exchanges=False,
    ),
    ModuleSpec(
        name="SecureAddExample",
        code_path={
            "guest": "federatedml/toy_example/secure_add_guest.py/SecureAddGuest",
            "host": "federatedml/toy_example/secure_add_host.py/SecureAddHost",
        },
    ),
    ModuleSpec(
        name="Union",
        code_path={
            "guest": "federatedml/statistic/union/union.py/Union",
            "host": "federatedml/statistic/union/union.py/Union",
        },
        exchanges=False,
    ),
    ModuleSpec(
        name="Upload",
        programs={
            "local": "fate_flow.components.upload.component:Upload",
        },
        param="fate_flow.components.upload.params:UploadParam",
        code_path={
            "local": "fate_flow/utils/upload.py/Upload",
        },
        exchanges=False,
    ),
)
