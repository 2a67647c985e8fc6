import "@tributary/kernel/node-24";
