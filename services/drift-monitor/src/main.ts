import "@tributary/drift";
