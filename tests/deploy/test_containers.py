"""The container files and Kubernetes manifests agree with each other and with the server.

No container engine and no cluster is needed, and none is asked: that an image builds and pods run is
not shown here. The steps of the image's second stage (apt-get install of the package on a bare
Debian, the server as its user) are what install_package.sh --fresh runs.
"""

import os
import re
import subprocess

import pytest
import yaml

from penstock import Server, run, source_dir

CONTAINER = os.path.join(source_dir(), "deploy", "container")
MANIFESTS = os.path.join(source_dir(), "deploy", "kubernetes", "penstock.yaml")
USER = 10001


def settings_keys():
    """The names of all settings, from the reference."""
    return set(re.findall(r"(?m)^#(\w+) = ", run("reference")[1]))


@pytest.fixture(scope="module")
def objects():
    with open(MANIFESTS, encoding="utf-8") as file:
        documents = [document for document in yaml.safe_load_all(file) if document]
    return {(each["kind"], each["metadata"]["name"]): each for each in documents}


@pytest.fixture(scope="module")
def pod(objects):
    return objects["StatefulSet", "penstock"]["spec"]["template"]


def instructions():
    """The Containerfile as [(INSTRUCTION, rest)], continued lines joined."""
    with open(os.path.join(CONTAINER, "Containerfile"), encoding="utf-8") as file:
        text = re.sub(r"(?m)^#.*\n", "", file.read()).replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]


def test_the_containerfile_is_two_stages_and_ends_without_root():
    steps = instructions()
    froms = [rest for name, rest in steps if name == "FROM"]
    assert len(froms) == 2 and froms[0].endswith("AS build")
    assert all(":" in image and "latest" not in image for image in froms)
    last_stage = steps[[name for name, _ in steps].index("FROM", 1):]
    assert ("USER", f"{USER}:{USER}") in last_stage
    assert dict(steps)["STOPSIGNAL"] == "SIGTERM"
    known = {"FROM", "WORKDIR", "COPY", "RUN", "USER", "VOLUME", "ENV", "EXPOSE", "STOPSIGNAL",
             "HEALTHCHECK", "ENTRYPOINT", "CMD"}
    assert {name for name, _ in steps} <= known


def test_the_containerfiles_shell_steps_are_sound():
    """Each RUN line and the health check parse; copied and called files are there."""
    for name, rest in instructions():
        if name == "RUN":
            subprocess.run(["sh", "-n", "-c", rest], check=True)
        if name == "HEALTHCHECK":
            command = yaml.safe_load(rest[rest.index("CMD") + 3:])
            subprocess.run(["bash", "-n", "-c", command[-1]], check=True)
    assert os.access(os.path.join(source_dir(), "deploy", "package.sh"), os.X_OK)


def test_the_image_sets_only_settings_that_there_are():
    named = re.findall(r"PENSTOCK_(\w+)=", dict(instructions())["ENV"])
    assert named and {name.lower() for name in named} <= settings_keys()


def test_the_health_check_tells_a_server_from_none(database, tmp_path):
    server = Server(database, folder=str(tmp_path / "server"))
    os.mkdir(server.folder)
    rest = dict(instructions())["HEALTHCHECK"]
    command = yaml.safe_load(rest[rest.index("CMD") + 3:])
    command = [word.replace("/8080", f"/{server.port}") for word in command]
    assert subprocess.run(command, capture_output=True).returncode != 0
    try:
        server.start()
        assert subprocess.run(command, capture_output=True, timeout=30).returncode == 0
    finally:
        server.close()


def test_the_compose_file_names_what_is_there():
    with open(os.path.join(CONTAINER, "compose.yaml"), encoding="utf-8") as file:
        compose = yaml.safe_load(file)
    services = compose["services"]
    for name, service in services.items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            is_file = source.startswith(".")
            assert os.path.exists(os.path.join(CONTAINER, source)) if is_file \
                else source in compose["volumes"], f"{name}: {volume}"
        assert set(service.get("depends_on", {})) <= set(services)
        if "build" in service:
            context = os.path.join(CONTAINER, service["build"]["context"])
            assert os.path.exists(os.path.join(context, service["build"]["dockerfile"]))
        for variable in service.get("environment", {}):
            if variable.startswith("PENSTOCK_"):
                assert variable[len("PENSTOCK_"):].lower() in settings_keys()
    ports = services["penstock"]["ports"]
    assert all(port.startswith("127.0.0.1:") for port in ports), "published beyond loopback"


def test_the_manifests_have_every_kind_that_a_node_needs(objects):
    assert set(objects) == {
        ("ConfigMap", "penstock"), ("Job", "penstock-migrate"), ("Service", "penstock"),
        ("Service", "penstock-pods"), ("PodDisruptionBudget", "penstock"),
        ("StatefulSet", "penstock")}
    assert {each["apiVersion"] for each in objects.values()} == {"v1", "batch/v1", "policy/v1", "apps/v1"}


def test_selectors_reach_the_pods_and_not_the_job(objects, pod):
    labels = pod["metadata"]["labels"]
    chosen = [objects["Service", "penstock"]["spec"]["selector"],
              objects["Service", "penstock-pods"]["spec"]["selector"],
              objects["StatefulSet", "penstock"]["spec"]["selector"]["matchLabels"],
              objects["PodDisruptionBudget", "penstock"]["spec"]["selector"]["matchLabels"]]
    job = objects["Job", "penstock-migrate"]["spec"]["template"]["metadata"]["labels"]
    for selector in chosen:
        assert selector.items() <= labels.items()
        assert not selector.items() <= job.items()
    assert objects["StatefulSet", "penstock"]["spec"]["serviceName"] == "penstock-pods"


def test_ports_volumes_and_probes_fit(objects, pod):
    container = pod["spec"]["containers"][0]
    names = {port["name"] for port in container["ports"]}
    for service in ("penstock", "penstock-pods"):
        assert {port["targetPort"] for port in objects["Service", service]["spec"]["ports"]} <= names
    claims = objects["StatefulSet", "penstock"]["spec"]["volumeClaimTemplates"]
    volumes = {v["name"] for v in pod["spec"]["volumes"]} | {c["metadata"]["name"] for c in claims}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes
    paths = {probe: container[probe]["httpGet"]["path"]
             for probe in ("readinessProbe", "livenessProbe", "startupProbe")}
    assert paths == {"readinessProbe": "/acceptz", "livenessProbe": "/healthz", "startupProbe": "/healthz"}


def test_a_pod_has_time_to_drain(objects, pod):
    """preStop, then drain_ms twice (clients, batches), before the kill."""
    text = objects["ConfigMap", "penstock"]["data"]["penstock.conf"]
    drain_s = int(re.search(r"drain_ms = (\d+)", text)[1]) / 1000
    pre_stop_s = int(pod["spec"]["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][-1])
    assert pod["spec"]["terminationGracePeriodSeconds"] > pre_stop_s + 2 * drain_s + 10


def test_pods_run_without_rights(objects, pod):
    for spec in (pod["spec"], objects["Job", "penstock-migrate"]["spec"]["template"]["spec"]):
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == spec["securityContext"]["fsGroup"] == USER
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            rights = container["securityContext"]
            assert rights["allowPrivilegeEscalation"] is False and rights["readOnlyRootFilesystem"]
            assert rights["capabilities"] == {"drop": ["ALL"]}


def image_environment():
    return dict(re.findall(r"(PENSTOCK_\w+)=(\S+)", dict(instructions())["ENV"]))


def kubernetes_configuration(objects, folder):
    """The ConfigMap as a file whose secrets are where `folder` has them."""
    secrets = folder / "secrets"
    secrets.mkdir()
    (secrets / "key").write_text("a secret of the tests that has more than 32 bytes")
    (secrets / "metrics").write_text("what-tests-ask-metrics-with")
    text = objects["ConfigMap", "penstock"]["data"]["penstock.conf"]
    path = folder / "penstock.conf"
    path.write_text(text.replace("/run/secrets/penstock", str(secrets)))
    return str(path)


def test_the_image_serves_nobody_unless_it_is_told_whom(objects, database, tmp_path):
    """With what the image sets and nothing else, every command refuses and says what is missing; with the
    manifests' configuration, or what compose says aloud, the configuration is read."""
    bare = {"DATABASE_URL": database.url, **image_environment()}
    assert "PENSTOCK_TRUSTED_NETWORK" not in bare
    code, _, err = run("serve", env=bare)
    assert code == 2 and "clients are not asked who they are: set auth_key_file" in err
    _, out, err = run("check", "--config", kubernetes_configuration(objects, tmp_path), env=bare)
    assert "ok    configuration: read" in out, err
    with open(os.path.join(CONTAINER, "compose.yaml"), encoding="utf-8") as file:
        said = yaml.safe_load(file)["services"]["penstock"]["environment"]
    told = {name: value for name, value in said.items() if name.startswith("PENSTOCK_")}
    _, out, err = run("check", "--config", os.path.join(source_dir(), "deploy/examples.conf"), env={**bare, **told})
    assert "ok    configuration: read" in out, err


def test_the_job_migrates_with_what_it_is_given(objects, database):
    """It has no keys for tokens, and needs none."""
    [container] = objects["Job", "penstock-migrate"]["spec"]["template"]["spec"]["containers"]
    given = {each["name"]: each["value"] for each in container["env"] if "value" in each}
    code, _, err = run(*container["args"], env={**image_environment(), **given, "DATABASE_URL": database.url})
    assert code == 0, err


@pytest.mark.parametrize("source", ["kubernetes", "package", "examples"])
def test_the_server_takes_the_configuration(objects, database, tmp_path, source):
    """What the ConfigMap, the package and compose mount is a configuration without a mistake."""
    path = {"package": "deploy/etc/penstock.conf", "examples": "deploy/examples.conf"}.get(source)
    if source == "kubernetes":
        path = kubernetes_configuration(objects, tmp_path)
    code, out, err = run("check", "--config", os.path.join(source_dir(), path),
                         env={"DATABASE_URL": database.url})
    assert "ok    configuration: read" in out, err
    if source == "package":  # it names no stream yet, and check says so
        assert code == 1 and out.count("FAIL") == 1 and "streams" in out
    else:
        assert code == 0, out
