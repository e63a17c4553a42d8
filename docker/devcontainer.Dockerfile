# The image of VS Code's devcontainer: what one works with by hand, on top of a stack's image (labkit/stacks/editor.py),
# so that the images in which labs run do not grow by it. There is no sudo: what a stack lacks belongs into its lock.

ARG STACK_IMAGE
# The name of the stack's image is a hash of its content.
# hadolint ignore=DL3006
FROM ${STACK_IMAGE}
ARG APT_MIRROR=""
USER 0
RUN --mount=type=bind,source=apt-install,target=/tmp/apt-install \
    --mount=type=secret,id=ca \
    sh /tmp/apt-install "${APT_MIRROR}" openssh-client curl less
# For notebooks in the editor, which looks for kernels in this folder. In the other one, empty now, that was mounted.
RUN PYTHONDONTWRITEBYTECODE=1 python -m ipykernel install \
        --prefix /usr/local --name torch-labs --display-name "torch-labs ${LAB_IMAGE}" \
    && rm -rf /run/secrets
USER 1000:1000
